"""What the registry hands to its callers: frozen values, detached from the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

RunStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "INTERRUPTED"]


@dataclass(frozen=True)
class Parent:
    """A version that a new version was made from, and in which role."""

    version_id: int
    role: Literal["shared", "init", "teacher"]


@dataclass(frozen=True)
class Lineage:
    """A parent as seen from its child."""

    name: str
    number: int
    digest: str
    role: str


@dataclass(frozen=True)
class Version:
    """One version of a prompt; once READY it never changes. `digest` reads `sha256:` and 64 hex digits."""

    id: int
    name: str
    number: int
    digest: str
    size: int
    card: Mapping[str, object]
    state: Literal["PENDING", "READY"]
    run_id: str | None
    created_by: str
    created_at: datetime
    message: str
    parents: tuple[Lineage, ...]

    @property
    def reference(self) -> str:
        """The reference that names this version for good."""
        return f"{self.name}:{self.number}"


@dataclass(frozen=True)
class Prompt:
    """A named thing with versions; `latest` is its newest READY version, `aliases` say which number each names."""

    name: str
    kind: Literal["task", "shared"]
    latest: int | None
    aliases: Mapping[str, int]
    created_at: datetime


@dataclass(frozen=True)
class Move:
    """An alias to set, and optionally the generation it must still be at (0: not set yet)."""

    reference: str
    alias: str = "production"
    expected_generation: int | None = None


@dataclass(frozen=True)
class AliasEvent:
    """One step in the line of an alias; `hash` covers the event and the hash of the event before it."""

    id: int
    name: str
    alias: str
    generation: int
    old: int | None
    new: int
    action: Literal["set", "rollback"]
    actor: str
    reason: str
    at: datetime
    hash: str


@dataclass(frozen=True)
class ServingState:
    """What every alias names, as of one epoch."""

    epoch: int
    aliases: Mapping[tuple[str, str], Version]


@dataclass(frozen=True)
class TaskRecord:
    """A task's spec, kept as JSON that the registry does not interpret."""

    name: str
    spec: Mapping[str, object]
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Run:
    """A run and its current attempt; only the current attempt may publish or finish."""

    id: str
    status: RunStatus
    attempt: int
    config: Mapping[str, object]
    error_code: str
    mlflow_run_id: str
    created_by: str
    created_at: datetime
    updated_at: datetime
