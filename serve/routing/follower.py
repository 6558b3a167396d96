"""Follows the registry: what is new is checked first, then swapped in."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

import registry
from registry import Registry, RegistryError, ServingState, Version

from ..errors import Integrity
from .known import Known
from .snapshot import Alias, Refusal, Served, Snapshot, Split

INTERVAL_S = 0.3
RETRY_S = 5.0  # until a version that failed its checks is tried again
REST = 10  # times as long as it took to keep a state, until the next one is kept

Bytes: TypeAlias = tuple[str, str]  # reference, digest


class Follower:
    """Asks the registry for its epoch and, when that moved, checks what is new before any of it answers."""

    def __init__(
        self, source: Registry, bring: Callable[[Version], Awaitable[Served]], known: Known | None = None
    ) -> None:
        self.snapshot = Snapshot(-1)
        self.stale_since: datetime | None = None
        self.stale_reason: str | None = None
        self._registry, self._bring, self._known = source, bring, known
        self._said: ServingState | None = None  # by the registry; what was known from before it is not
        self._retry_at = 0.0
        self._turn = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsaved: Snapshot | None = None
        self._saving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Follow the registry from now on; the first snapshot is there when this returns.

        Raises:
            RegistryError: the registry does not answer, and nothing is known from an earlier time.
        """
        state = None if self._known is None else await asyncio.to_thread(self._known.load)
        last = None if state is None else await self._next(state, state.aliases)
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
        now = asyncio.get_running_loop().time()
        retry = bool(self.snapshot.refused) and now >= self._retry_at
        before = self._said
        if await asyncio.to_thread(self._registry.epoch) == self.snapshot.epoch and before and not retry:
            return
        changes = await asyncio.to_thread(self._registry.serving_state, before and before.head)
        self._retry_at = now + RETRY_S
        said = before.changed(changes) if before else changes
        again = {one.alias for one in self.snapshot.refused} & said.aliases.keys()
        self.snapshot = await self._next(said, changes.aliases.keys() | again)
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

    async def _next(self, state: ServingState, moved: Collection[Alias]) -> Snapshot:
        """The snapshot of a state of which only these aliases may be others than before."""
        before = self.snapshot
        wanted = {alias: state.aliases[alias] for alias in moved if not alias[0].startswith("shared/")}
        beside = {alias: state.splits[alias] for alias in wanted if alias in state.splits}
        found = await self._found([*wanted.values(), *(split.candidate for split in beside.values())], wanted)
        served = {alias: one for alias, one in before.served.items() if alias in state.aliases}
        splits = {alias: one for alias, one in before.splits.items() if alias in state.splits and alias not in wanted}
        refused: list[Refusal] = []
        for alias, version in wanted.items():
            match found[_bytes(version)]:
                case Served() as passed:
                    served[alias] = passed
                case error:
                    refused.append(Refusal(alias, version, reason(error)))
        for alias, split in beside.items():
            match _fitting(found[_bytes(split.candidate)], served.get(alias)):
                case Served() as passed:
                    splits[alias] = Split(passed, split.percent)
                case error:
                    refused.append(Refusal(alias, split.candidate, reason(error), candidate=True))
        return Snapshot(state.epoch, served, splits, tuple(refused))

    async def _found(
        self, wanted: Sequence[Version], aliases: Collection[Alias]
    ) -> Mapping[Bytes, Served | BaseException]:
        """Each version, brought where these aliases do not name it yet; or why it cannot answer."""
        now = self.snapshot
        held = [now.served[alias] for alias in aliases if alias in now.served]
        held += [now.splits[alias].candidate for alias in aliases if alias in now.splits]
        found: dict[Bytes, Served | BaseException] = {_bytes(one.version): one for one in held}
        new = {_bytes(version): version for version in wanted if _bytes(version) not in found}
        brought = await asyncio.gather(*map(self._bring, new.values()), return_exceptions=True)
        return found | dict(zip(new, brought, strict=True))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.gather(self.sync(), return_exceptions=True)  # it keeps what it met as `stale_reason`

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def reason(error: BaseException) -> str:
    """An error as one may show it: our own messages name no text, others might."""
    return str(error) if hasattr(error, "code") else type(error).__name__


def _bytes(version: Version) -> Bytes:
    """What a version is, whichever registry says it."""
    return version.reference, version.digest


def _keep(known: Known, snapshot: Snapshot) -> None:
    """Keep what is served, as a registry would say it: without what was refused."""
    splits = {alias: registry.Split(one.candidate.version, one.percent) for alias, one in snapshot.splits.items()}
    aliases = {alias: one.version for alias, one in snapshot.served.items()}
    held = (*snapshot.served.values(), *(one.candidate for one in snapshot.splits.values()))
    signed = {one.version.reference: one.signed for one in held if one.signed is not None}
    known.save(ServingState(snapshot.epoch, aliases, splits), signed)


def _fitting(candidate: Served | BaseException, stable: Served | None) -> Served | BaseException:
    """The candidate, unless it answers other rows than the version that it stands beside."""
    if isinstance(candidate, BaseException) or (stable is not None and candidate.task.kind == stable.task.kind):
        return candidate
    if stable is None:
        return Integrity("there is no version that it could stand beside")
    return Integrity(f"it answers {candidate.task.kind} rows, and {stable.version.reference} {stable.task.kind} rows")
