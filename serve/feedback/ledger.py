"""Counts of feedback on their way into the registry: none is written twice, and an outage only delays them."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from registry import RegistryError
from registry.feedback import Buffer, FeedbackCount, Kind

RETRY_S = 2.0
SEARCH_S = 3600.0  # between two searches for what processes elsewhere have lost


class Counts(Protocol):
    """Where counts are kept: `registry.Registry`."""

    def record_feedback(self, buffer: Buffer, counts: Sequence[FeedbackCount], *, actor: str) -> None:
        """Add counts; one of a sequence that is recorded already changes nothing."""
        ...

    def lose_feedback(self, buffer: Buffer, silent_since: datetime, *, actor: str) -> int:
        """Count as lost what former processes accepted and never settled; returns how many."""
        ...


class Ledger:
    """Writes the steps of one buffer in a thread, in batches, each again and again until it is written.

    What a process has not written when it is killed is never known; it writes at once, so that this is what an outage
    of the registry held up.
    """

    def __init__(self, counts: Counts, server: str, actor: str, silent: timedelta) -> None:
        self.reason: str | None = None
        self.lost = 0
        self.total: Counter[Kind] = Counter()
        self._counts, self._actor, self._silent = counts, actor, silent
        self._buffer = Buffer(secrets.token_hex(16), server)
        self._steps: Counter[tuple[int, Kind]] = Counter()
        self._batch: tuple[FeedbackCount, ...] = ()
        self._sequence = self._cuts = self._written = 0
        self._tried = asyncio.Condition()
        self._wake = asyncio.Event()
        self._searched = asyncio.Event()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._search())]

    @property
    def uncounted(self) -> int:
        """Steps of corrections that the registry has not heard of."""
        return self._steps.total() + sum(count.n for count in self._batch)

    def step(self, version_id: int, kind: Kind) -> None:
        """Count a step of one correction."""
        self._steps[version_id, kind] += 1
        self.total[kind] += 1
        self._wake.set()

    async def searched(self, within_s: float) -> None:
        """Wait until what former processes lost is counted, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._searched.wait(), within_s)

    async def counted(self, within_s: float) -> None:
        """Wait until every step so far is written, but no longer than that, nor for a registry that is down."""
        last = self._cuts + bool(self._steps)
        await self._until(lambda: self._written >= last or self.reason is not None, within_s)

    async def close(self, within_s: float) -> None:
        """Write what is left, if that takes no longer than so."""
        await self._until(lambda: self.uncounted == 0, within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until(self, true: Callable[[], bool], within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._tried:
                await self._tried.wait_for(true)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._batch or self._cut():
                self._batch = batch
                work = asyncio.to_thread(self._counts.record_feedback, self._buffer, batch, actor=self._actor)
                (error,) = await asyncio.gather(work, return_exceptions=True)
                self.reason = error and _reason(error)
                if error is None:
                    self._batch = ()
                    self._written += 1
                async with self._tried:
                    self._tried.notify_all()
                if error is not None:
                    await asyncio.sleep(RETRY_S)

    def _cut(self) -> tuple[FeedbackCount, ...]:
        """The next batch; acceptances first, since no more can be settled."""
        steps = sorted(self._steps.items(), key=lambda step: (step[0][1] != "accepted", step[0]))
        now, first = datetime.now(UTC), self._sequence + 1
        self._sequence += len(steps)
        self._cuts += bool(steps)
        self._steps.clear()
        return tuple(FeedbackCount(number, *step, n, now) for number, (step, n) in enumerate(steps, first))

    async def _search(self) -> None:
        while True:
            silent_since = datetime.now(UTC) - self._silent
            work = asyncio.to_thread(self._counts.lose_feedback, self._buffer, silent_since, actor=self._actor)
            (found,) = await asyncio.gather(work, return_exceptions=True)
            if isinstance(found, int):
                self.lost += found
                self._searched.set()
            await asyncio.sleep(SEARCH_S if isinstance(found, int) else RETRY_S)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, RegistryError) else type(error).__name__
