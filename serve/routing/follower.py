"""Follows the registry: what is new is checked first, then swapped in."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import registry
from registry import Registry, RegistryError, ServingState, Version

from ..errors import Integrity, Unavailable
from .known import Known
from .snapshot import Alias, Passed, Refusal, Snapshot, Split

INTERVAL_S = 0.3
RETRY_S = 5.0  # until a version that failed its checks is tried again
AT_ONCE = 64  # versions that are brought
PATIENCE_S = 2.0  # for a version; after that, what else is new does not wait for it
REST = 10  # times as long as it took to keep a state, until the next one is kept

Bytes: TypeAlias = tuple[str, str]  # reference, digest
Result = TypeVar("Result")


class Follower:
    """Asks the registry for its epoch and, when that moved, checks what is new before any of it answers."""

    def __init__(
        self, source: Registry, bring: Callable[[Version], Coroutine[None, None, Passed]], known: Known | None = None
    ) -> None:
        self.snapshot = Snapshot(-1)
        self.stale_since: datetime | None = None
        self.stale_reason: str | None = None
        self._registry, self._bring, self._known = source, bring, known
        self._said: ServingState | None = None  # by the registry; what was known from before it is not
        self._retry_at = 0.0
        self._late: dict[Bytes, asyncio.Task[Passed] | None] = {}  # versions still to be brought, or on their way
        self._turn = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsaved: Snapshot | None = None
        self._saving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Follow the registry from now on; the first snapshot is there when this returns.

        Raises:
            RegistryError: the registry does not answer, and nothing is known from an earlier time.
        """
        state = None if self._known is None else await asyncio.to_thread(self._known.load)
        last = None if state is None else await self._next(state, state.aliases, None)
        if last is not None:  # not the registry's, but what answers on where the version that it names cannot be had
            self.snapshot = replace(last, epoch=-1, refused=())
        try:
            await self.sync()
        except RegistryError:
            if last is None:
                raise
            self.snapshot = last
        self._begin(self._follow())

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._closing.set()
        if self._saving is not None:
            await self._saving

    async def sync(self) -> None:
        """Swap in what the registry says now, if that is something else; those who ask at once share one look.

        Raises:
            RegistryError: the registry does not answer; what was served is served on.
        """
        if self._coming is None:
            self._coming = self._begin(self._next_turn())
        await asyncio.shield(self._coming)

    async def _next_turn(self) -> None:
        async with self._turn:
            self._coming = None  # who asks from here on may know of something newer than what is read below
            try:
                await self._look()
            except Exception as error:
                self.stale_since = self.stale_since or datetime.now(UTC)
                self.stale_reason = reason(error)
                raise
            self.stale_since = self.stale_reason = None

    async def _look(self) -> None:
        now, before = asyncio.get_running_loop().time(), self._said
        arrived = any(task is None or task.done() for task in self._late.values())
        retry = arrived or (bool(self.snapshot.refused) and now >= self._retry_at)
        if before and await asyncio.to_thread(self._registry.head) == before.head and not retry:
            return
        changes = await asyncio.to_thread(self._registry.serving_state, before and before.head)
        self._retry_at = now + RETRY_S
        said = before.changed(changes) if before else changes
        again = {one.alias for one in self.snapshot.refused} & said.aliases.keys()
        self.snapshot = await self._next(said, changes.aliases.keys() | again, PATIENCE_S if before else None)
        self._said = said
        self._unsaved = self.snapshot
        if self._known is not None and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self._save(self._known))

    async def _save(self, known: Known) -> None:
        """Keep what is served; nobody waits for it, and a large state is not kept all the time."""
        while (snapshot := self._unsaved) is not None:
            self._unsaved = None
            started = time.perf_counter()
            await asyncio.to_thread(_keep, known, snapshot)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), REST * (time.perf_counter() - started))

    async def _next(self, state: ServingState, moved: Collection[Alias], patience_s: float | None) -> Snapshot:
        """The snapshot of a state of which only these aliases may be others than before."""
        before = self.snapshot
        wanted = {alias: state.aliases[alias] for alias in moved if not alias[0].startswith("shared/")}
        beside = {alias: state.splits[alias] for alias in wanted if alias in state.splits}
        versions = [*wanted.values(), *(split.candidate for split in beside.values())]
        found = await self._found(versions, wanted, patience_s)
        served = {alias: one for alias, one in before.served.items() if alias in state.aliases}
        splits = {alias: one for alias, one in before.splits.items() if alias in state.splits and alias not in wanted}
        refused: list[Refusal] = []
        for alias, version in wanted.items():
            match found[_bytes(version)]:
                case Passed() as passed:
                    served[alias] = passed
                case error:
                    refused.append(Refusal(alias, version, reason(error)))
        for alias, split in beside.items():
            match _fitting(found[_bytes(split.candidate)], served.get(alias)):
                case Passed() as passed:
                    splits[alias] = Split(passed, split.percent)
                case error:
                    refused.append(Refusal(alias, split.candidate, reason(error), candidate=True))
        return Snapshot(state.epoch, served, splits, tuple(refused))

    async def _found(
        self, wanted: Sequence[Version], aliases: Collection[Alias], patience_s: float | None
    ) -> Mapping[Bytes, Passed | BaseException]:
        """Each version, brought where these aliases do not name it yet; or why it cannot answer, or not yet."""
        now = self.snapshot
        held = [now.served[alias] for alias in aliases if alias in now.served]
        held += [now.splits[alias].candidate for alias in aliases if alias in now.splits]
        found: dict[Bytes, Passed | BaseException] = {_bytes(one.version): one for one in held}
        new = {_bytes(version): version for version in wanted if _bytes(version) not in found}
        coming = await self._coming_in(new, patience_s)
        self._late = {which: task for which, task in coming.items() if task is None or not task.done()}
        return found | {which: _brought(task) for which, task in coming.items()}

    async def _coming_in(
        self, new: Mapping[Bytes, Version], patience_s: float | None
    ) -> dict[Bytes, asyncio.Task[Passed] | None]:
        """A task for each version that could be begun in time, some at a time; those of earlier looks go on."""
        loop, coming = asyncio.get_running_loop(), {which: self._late.get(which) for which in new}
        until = math.inf if patience_s is None else loop.time() + patience_s
        waiting = [which for which, task in coming.items() if task is None]
        for first in range(0, len(waiting), AT_ONCE):
            if (left_s := until - loop.time()) <= 0:
                break
            begun = {which: self._begin(self._bring(new[which])) for which in waiting[first : first + AT_ONCE]}
            coming |= begun
            await asyncio.wait(begun.values(), timeout=None if patience_s is None else left_s)
        return coming

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.gather(self.sync(), return_exceptions=True)  # it keeps what it met as `stale_reason`

    def _begin(self, work: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more; asyncio would say so on stderr


def reason(error: BaseException) -> str:
    """An error as one may show it: our own messages name no text, others might."""
    return str(error) if hasattr(error, "code") else type(error).__name__


def _bytes(version: Version) -> Bytes:
    """What a version is, whichever registry says it."""
    return version.reference, version.digest


def _brought(task: asyncio.Task[Passed] | None) -> Passed | BaseException:
    if task is None or not task.done():
        return Unavailable("it is still being loaded")
    return task.exception() or task.result()


def _keep(known: Known, snapshot: Snapshot) -> None:
    """Keep what is served, as a registry would say it: without what was refused."""
    splits = {alias: registry.Split(one.candidate.version, one.percent) for alias, one in snapshot.splits.items()}
    aliases = {alias: one.version for alias, one in snapshot.served.items()}
    known.save(ServingState(snapshot.epoch, aliases, splits))


def _fitting(candidate: Passed | BaseException, stable: Passed | None) -> Passed | BaseException:
    """The candidate, unless it answers other rows than the version that it stands beside."""
    if isinstance(candidate, BaseException) or (stable is not None and candidate.task.kind == stable.task.kind):
        return candidate
    if stable is None:
        return Integrity("there is no version that it could stand beside")
    return Integrity(f"it answers {candidate.task.kind} rows, and {stable.version.reference} {stable.task.kind} rows")
