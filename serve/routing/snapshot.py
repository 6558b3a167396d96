"""What the aliases name: an immutable snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from methods import Artifact, Task
from registry import Version
from registry.signing.records import Signed

from .split import Arm

Alias: TypeAlias = tuple[str, str]  # prompt name, alias


@dataclass(frozen=True)
class Passed:
    """A version that passed its checks, and the task that it answers; its tensors come and go in the bank."""

    version: Version
    task: Task
    signed: Signed | None = None  # who signed it, where somebody had to


@dataclass(frozen=True)
class Served:
    """What answers a row: on which arm, where its alias has two, and beside which shadow, where that has one."""

    version: Version
    artifact: Artifact
    task: Task
    arm: Arm | None = None
    shadow: Passed | None = None


@dataclass(frozen=True)
class Split:
    """A candidate that passed its checks, and its percent of an alias's rows; 0 is a shadow, never returned."""

    candidate: Passed
    percent: int


@dataclass(frozen=True)
class Refusal:
    """A version that an alias names and that failed its checks, and why."""

    alias: Alias
    version: Version
    reason: str
    candidate: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Everything served as of one epoch; where an alias was refused, `served` keeps what it named before."""

    epoch: int
    served: Mapping[Alias, Passed] = field(default_factory=dict)
    splits: Mapping[Alias, Split] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
