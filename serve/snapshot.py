"""What the aliases name: an immutable snapshot, and the follower that swaps in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from methods import Artifact, Task
from registry import Registry, ServingState, Version

INTERVAL_S = 0.3
RETRY_S = 5.0  # until a version that failed its checks is tried again

Alias: TypeAlias = tuple[str, str]  # prompt name, alias


@dataclass(frozen=True)
class Served:
    """A version that passed its checks, with what answers for it."""

    version: Version
    artifact: Artifact
    task: Task


@dataclass(frozen=True)
class Refusal:
    """A version that failed its checks, and why."""

    version: Version
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """Everything served as of one epoch; where an alias was refused, `served` keeps what it named before."""

    epoch: int
    served: Mapping[Alias, Served] = field(default_factory=dict)
    refused: Mapping[Alias, Refusal] = field(default_factory=dict)


class Follower:
    """Asks the registry for its epoch and, when that moved, checks what is new before any of it answers."""

    def __init__(self, registry: Registry, bring: Callable[[Version], Awaitable[Served]]) -> None:
        self.snapshot = Snapshot(-1)
        self.stale_since: datetime | None = None
        self.stale_reason: str | None = None
        self._registry, self._bring = registry, bring
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the registry from now on; the first snapshot is there when this returns."""
        await self.sync()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def sync(self) -> None:
        """Swap in what the registry says now, if that is something else."""
        now = asyncio.get_running_loop().time()
        retry = bool(self.snapshot.refused) and now >= self._retry_at
        if await asyncio.to_thread(self._registry.epoch) == self.snapshot.epoch and not retry:
            return
        state = await asyncio.to_thread(self._registry.serving_state)
        self._retry_at = now + RETRY_S
        self.snapshot = await self._next(state)

    async def _next(self, state: ServingState) -> Snapshot:
        before = self.snapshot.served
        wanted = {alias: v for alias, v in state.aliases.items() if not v.name.startswith("shared/")}
        found: dict[int, Served | BaseException] = {served.version.id: served for served in before.values()}
        new = {v.id: v for v in wanted.values() if v.id not in found}
        brought = await asyncio.gather(*map(self._bring, new.values()), return_exceptions=True)
        found |= dict(zip(new, brought, strict=True))
        served: dict[Alias, Served] = {}
        refused: dict[Alias, Refusal] = {}
        for alias, version in wanted.items():
            match found[version.id]:
                case Served() as passed:
                    served[alias] = passed
                case error:
                    refused[alias] = Refusal(version, reason(error))
                    if alias in before:
                        served[alias] = before[alias]
        return Snapshot(state.epoch, served, refused)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            (error,) = await asyncio.gather(self.sync(), return_exceptions=True)
            if error is None:
                self.stale_since = self.stale_reason = None
            else:
                self.stale_since = self.stale_since or datetime.now(UTC)
                self.stale_reason = reason(error)


def reason(error: BaseException) -> str:
    """An error as one may show it: our own messages name no text, others might."""
    return str(error) if hasattr(error, "code") else type(error).__name__
