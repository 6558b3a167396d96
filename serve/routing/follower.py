"""Follows the registry: what is new is checked first, then swapped in."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import registry
from registry import Registry, RegistryError, ServingState, Version

from .change import Change, Found, reason, which
from .known import Known
from .snapshot import Passed, Refusal, Snapshot

INTERVAL_S = 0.3
RETRY_S = 5.0  # until a version that failed its checks is tried again
AT_ONCE = 64  # versions of one change that are brought
PATIENCE_S = 2.0  # how long who asks to follow waits for a change
LATE_S = 1.0  # after which a change that is on its way is said to be late
REST = 10  # times as long as it took to keep a state, until the next one is kept

Result = TypeVar("Result")


class Follower:
    """Asks the registry whether aliases moved, and checks what they name now before any of it answers.

    What is found in one look is swapped in at once; what was found in another look does not wait for it.
    """

    def __init__(
        self, source: Registry, bring: Callable[[Version], Coroutine[None, None, Passed]], known: Known | None = None
    ) -> None:
        self.snapshot = Snapshot(-1)
        self.stale_since: datetime | None = None
        self.stale_reason: str | None = None
        self._registry, self._bring, self._known = source, bring, known
        self._said: ServingState | None = None  # by the registry; what was known from before it is not
        self._retry_at = 0.0
        self._changes: dict[Change, asyncio.Task[None]] = {}  # on their way
        self._turn = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsaved: Snapshot | None = None
        self._saving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def refused(self) -> list[Refusal]:
        """What aliases name and what does not answer: versions that failed their checks, and those that are late."""
        long_ago = time.monotonic() - LATE_S
        late = [refusal for change in self._changes if change.since_s < long_ago for refusal in change.late()]
        known = {(one.alias, one.candidate) for one in late}
        return late + [one for one in self.snapshot.refused if (one.alias, one.candidate) not in known]

    async def start(self) -> None:
        """Follow the registry from now on; the first snapshot is there when this returns.

        Raises:
            RegistryError: the registry does not answer, and nothing is known from an earlier time.
        """
        state = None if self._known is None else await asyncio.to_thread(self._known.load)
        last = None if state is None else await self._last(state)
        if last is not None:  # not the registry's, but what answers on where the version that it names cannot be had
            self.snapshot = replace(last, epoch=-1, refused=())
        try:
            await self._looked()
            await asyncio.gather(*self._changes.values())
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
        """Swap in what the registry says now, if that is something else, and if it does not take too long.

        Raises:
            RegistryError: the registry does not answer; what was served is served on.
        """
        await self._looked()
        for change, task in list(self._changes.items()):
            if (left_s := change.since_s + PATIENCE_S - time.monotonic()) > 0:
                await asyncio.wait({task}, timeout=left_s)

    async def _looked(self) -> None:
        """Look at what the registry says now; those who ask at once share one look."""
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
        before = self._said
        retry = bool(self.snapshot.refused) and time.monotonic() >= self._retry_at
        if before and await asyncio.to_thread(self._registry.head) == before.head and not retry:
            return
        changes = await asyncio.to_thread(self._registry.serving_state, before and before.head)
        self._retry_at = time.monotonic() + RETRY_S
        self._said = said = before.changed(changes) if before else changes
        gone = {alias for change in self._changes for alias in change.aliases} - said.aliases.keys()
        for change in [one for one in self._changes if one.overtaken(changes.aliases.keys() | gone)]:
            del self._changes[change]
        coming = {alias for change in self._changes for alias in change.aliases}
        again = {one.alias for one in self.snapshot.refused} & said.aliases.keys() - coming
        change = Change.of(said, changes.aliases.keys() | again, before.epoch if before else -1)
        self._changes[change] = self._begin(self._carry_out(change))

    async def _carry_out(self, change: Change) -> None:
        found = await self._found(change)
        if change not in self._changes or self._said is None:  # overtaken
            return
        del self._changes[change]
        epoch = min((one.before for one in self._changes), default=self._said.epoch)
        self.snapshot = self._unsaved = change.swapped_in(self.snapshot, self._said, found, epoch)
        if self._known is not None and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self._save(self._known))

    async def _last(self, state: ServingState) -> Snapshot:
        change = Change.of(state, state.aliases, -1)
        return change.swapped_in(self.snapshot, state, await self._found(change), state.epoch)

    async def _found(self, change: Change) -> Found:
        """Each version, brought where the change's aliases do not name it yet; or why it cannot answer."""
        now = self.snapshot
        held = [now.served[alias] for alias in change.aliases if alias in now.served]
        held += [now.splits[alias].candidate for alias in change.aliases if alias in now.splits]
        found: dict[tuple[str, str], Passed | BaseException] = {which(one.version): one for one in held}
        new = {which(version): version for version in change.versions if which(version) not in found}
        names = list(new)
        for some in (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)):
            brought = await asyncio.gather(*(self._bring(new[name]) for name in some), return_exceptions=True)
            found |= dict(zip(some, brought, strict=True))
        return found

    async def _save(self, known: Known) -> None:
        """Keep what is served; nobody waits for it, and a large state is not kept all the time."""
        while (snapshot := self._unsaved) is not None:
            self._unsaved = None
            started = time.perf_counter()
            await asyncio.to_thread(_keep, known, snapshot)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), REST * (time.perf_counter() - started))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.gather(self._looked(), return_exceptions=True)  # it keeps what it met as `stale_reason`

    def _begin(self, work: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _keep(known: Known, snapshot: Snapshot) -> None:
    """Keep what is served, as a registry would say it: without what was refused."""
    splits = {alias: registry.Split(one.candidate.version, one.percent) for alias, one in snapshot.splits.items()}
    aliases = {alias: one.version for alias, one in snapshot.served.items()}
    held = (*snapshot.served.values(), *(one.candidate for one in snapshot.splits.values()))
    signed = {one.version.reference: one.signed for one in held if one.signed is not None}
    known.save(ServingState(snapshot.epoch, aliases, splits), signed)
