"""Where prompts are versioned: publish, promote, roll back, resolve, fetch."""

from .errors import Conflict, IntegrityError, Invalid, NotFound, Refused, RegistryError, RunExists, Unavailable
from .records import (
    AliasEvent,
    Clearance,
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
    "Clearance",
    "Conflict",
    "IntegrityError",
    "Invalid",
    "Lineage",
    "Move",
    "NotFound",
    "Parent",
    "Prompt",
    "Refused",
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
