"""What the registry hands to its callers: frozen values, detached from the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

RunStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "INTERRUPTED"]
Action = Literal["set", "rollback", "canary", "shadow", "stop"]
State = Literal["PENDING", "READY", "ARCHIVED", "DELETED", "FAILED"]


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
    """One version of a prompt; once READY nothing but its state changes. `digest` reads `sha256:` and 64 hex digits."""

    id: int
    name: str
    number: int
    digest: str
    size: int
    card: Mapping[str, object]
    state: State
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
class Clearance:
    """What was decided of a move beforehand: it is made only if all of this still holds.

    `policy` is the digest of the rules, `baseline` the number that the alias named, `report` the hash of the gate
    report (none where there are no gates), `forced` whether it is made though gates refused it. So many `approvals` are
    needed, of the `approvers` where any are named.
    """

    policy: str
    baseline: int | None
    report: str | None = None
    forced: bool = False
    approvals: int = 0
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Move:
    """An alias to set, and optionally the generation it must still be at (0: not set yet).

    Below 100 percent the alias keeps its version, and the one given becomes its candidate: for so many percent of the
    rows, or, with 0 percent, no more. A shadow answers every row beside the version and is never returned.
    """

    reference: str
    alias: str = "production"
    expected_generation: int | None = None
    percent: int = 100
    shadow: bool = False
    clearance: Clearance | None = None


@dataclass(frozen=True)
class AliasEvent:
    """One step in the line of an alias; `hash` covers the event and the hash of the event before it.

    `candidate` and `percent` are those after the step; a shadow has 0 percent. `report` is the hash of the gate report
    that it was made by, `forced` says that it was made although gates refused it.
    """

    id: int
    name: str
    alias: str
    generation: int
    old: int | None
    new: int
    action: Action
    actor: str
    reason: str
    at: datetime
    hash: str
    candidate: int | None = None
    percent: int | None = None
    report: str | None = None
    forced: bool = False


@dataclass(frozen=True)
class Split:
    """A candidate beside the version of an alias, and its percent of the rows; 0 is a shadow, never returned."""

    candidate: Version
    percent: int


@dataclass(frozen=True)
class ServingState:
    """What every alias names, and which have a candidate, as of one epoch; its versions come without cards.

    `head` is the hash of the last event; a state that is not `whole` has the aliases that changed since another head.
    """

    epoch: int
    aliases: Mapping[tuple[str, str], Version]
    splits: Mapping[tuple[str, str], Split] = field(default_factory=dict)
    head: str = ""
    whole: bool = True

    def changed(self, changes: "ServingState") -> "ServingState":
        """This state after changes since its head."""
        if changes.whole:
            return changes
        kept = {alias: split for alias, split in self.splits.items() if alias not in changes.aliases}
        return replace(
            changes, aliases={**self.aliases, **changes.aliases}, splits=kept | {**changes.splits}, whole=True
        )


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
