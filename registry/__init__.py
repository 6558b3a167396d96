"""Where prompts are versioned: publish, promote, roll back, resolve, fetch."""

from .errors import Conflict, IntegrityError, Invalid, NotFound, RegistryError, RunExists, Unavailable
from .records import (
    AliasEvent,
    Lineage,
    Move,
    Parent,
    Prompt,
    Run,
    ServingState,
    Split,
    TaskRecord,
    Version,
)
from .registry import Registry
from .revisions import check, current, head, upgrade

__all__ = [
    "AliasEvent",
    "Conflict",
    "IntegrityError",
    "Invalid",
    "Lineage",
    "Move",
    "NotFound",
    "Parent",
    "Prompt",
    "Registry",
    "RegistryError",
    "Run",
    "RunExists",
    "ServingState",
    "Split",
    "TaskRecord",
    "Unavailable",
    "Version",
    "check",
    "current",
    "head",
    "upgrade",
]
