"""Aliases that changed together: their versions are brought, and then all of them are swapped in at once."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import registry
from registry import ServingState, Version

from ..errors import Integrity
from .snapshot import Alias, Passed, Refusal, Snapshot, Split

Bytes: TypeAlias = tuple[str, str]  # reference, digest
Found: TypeAlias = Mapping[Bytes, Passed | BaseException]


@dataclass(eq=False)
class Change:
    """What some aliases are to name, and which candidates are to stand beside; `before` is the epoch until then."""

    before: int
    aliases: dict[Alias, Version]
    splits: dict[Alias, registry.Split]
    since_s: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, state: ServingState, moved: Collection[Alias], before: int) -> "Change":
        """What a state says of these aliases; shared prompts answer nothing."""
        wanted = {alias: state.aliases[alias] for alias in moved if not alias[0].startswith("shared/")}
        return cls(before, wanted, {alias: state.splits[alias] for alias in wanted if alias in state.splits})

    @property
    def versions(self) -> list[Version]:
        """All that are needed."""
        return [*self.aliases.values(), *(split.candidate for split in self.splits.values())]

    def overtaken(self, aliases: Collection[Alias]) -> bool:
        """Leave these aliases to a later change; whether nothing is left."""
        for alias in aliases:
            self.aliases.pop(alias, None)
            self.splits.pop(alias, None)
        return not self.aliases

    def late(self) -> list[Refusal]:
        """Its aliases, while it is on its way."""
        why = "it is still being loaded, or what moved with it"
        own = [Refusal(alias, version, why) for alias, version in self.aliases.items() if alias not in self.splits]
        return own + [Refusal(alias, split.candidate, why, candidate=True) for alias, split in self.splits.items()]

    def swapped_in(self, before: Snapshot, state: ServingState, found: Found, epoch: int) -> Snapshot:
        """The snapshot after it; where a version cannot answer, its alias keeps what it named before."""
        mine = self.aliases
        served = {alias: one for alias, one in before.served.items() if alias in state.aliases}
        splits = {alias: one for alias, one in before.splits.items() if alias in state.splits and alias not in mine}
        refused = [one for one in before.refused if one.alias in state.aliases and one.alias not in mine]
        for alias, version in mine.items():
            match found[which(version)]:
                case Passed() as passed:
                    served[alias] = passed
                case error:
                    refused.append(Refusal(alias, version, reason(error)))
        for alias, split in self.splits.items():
            match _fitting(found[which(split.candidate)], served.get(alias)):
                case Passed() as passed:
                    splits[alias] = Split(passed, split.percent)
                case error:
                    refused.append(Refusal(alias, split.candidate, reason(error), candidate=True))
        return Snapshot(epoch, served, splits, tuple(refused))


def which(version: Version) -> Bytes:
    """What a version is, whichever registry says it."""
    return version.reference, version.digest


def reason(error: BaseException) -> str:
    """An error as one may show it: our own messages name no text, others might."""
    return str(error) if hasattr(error, "code") else type(error).__name__


def _fitting(candidate: Passed | BaseException, stable: Passed | None) -> Passed | BaseException:
    """The candidate, unless it answers other rows than the version that it stands beside."""
    if isinstance(candidate, BaseException) or (stable is not None and candidate.task.kind == stable.task.kind):
        return candidate
    if stable is None:
        return Integrity("there is no version that it could stand beside")
    return Integrity(f"it answers {candidate.task.kind} rows, and {stable.version.reference} {stable.task.kind} rows")
