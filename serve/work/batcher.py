"""Single items in, batches out: the next batch gathers while the last one runs."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic

from ..metrics.observer import SILENT, Observer
from .waiting import Item, Queue, Result, Waiting, settle

LONGEST_LINGER_S = 0.005
LINGER = 0.1  # of the last run
FULL = 0.5  # of the token budget


class Batcher(Generic[Item, Result]):
    """Runs the items of a queue through `run` in a thread, as many at a time as fit the token budget.

    A batch that fails is run again item by item, once, so that a bad item fails alone.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], list[Result]],
        queue: Queue[Item, Result],
        thread: Executor,
        *,
        token_budget: int,
        observer: Observer = SILENT,
    ) -> None:
        self._run, self._queue, self._thread = run, queue, thread
        self._token_budget, self._observer = token_budget, observer
        self._last_run_s = 0.0
        self._loop = asyncio.create_task(self._serve())

    @property
    def alive(self) -> bool:
        """Whether it takes from its queue."""
        return not self._loop.done()

    async def close(self) -> None:
        """Finish the batch that runs and turn away what waits."""
        self._queue.close()
        await self._loop
        self._queue.turn_away()

    async def _serve(self) -> None:
        while self._queue.open:
            await self._queue.arrival()
            if self._queue.tokens < self._token_budget:
                await asyncio.sleep(min(LONGEST_LINGER_S, LINGER * self._last_run_s))
            if self._queue.open and (batch := self._queue.take(self._token_budget)):
                await self._answer(batch)

    async def _answer(self, batch: list[Waiting[Item, Result]]) -> None:
        started = time.perf_counter()
        for one in batch:
            self._observer.waited(started - one.since)
        outcome = await self._outcome(batch)
        self._last_run_s = time.perf_counter() - started
        padded = len(batch) * max(one.tokens for one in batch)
        self._observer.ran(len(batch), padded, self._token_budget, self._last_run_s)
        if padded >= FULL * self._token_budget:  # a batch that is nearly empty says little of how fast full ones are
            self._queue.tokens_per_s = sum(one.tokens for one in batch) / max(self._last_run_s, 1e-6)
        if not isinstance(outcome, BaseException):
            for one, result in zip(batch, outcome, strict=True):
                settle(one, result)
        elif len(batch) == 1:
            settle(batch[0], outcome)
        else:
            for one in batch:
                if not one.answer.done():
                    alone = await self._outcome([one])
                    settle(one, alone if isinstance(alone, BaseException) else alone[0])

    async def _outcome(self, batch: list[Waiting[Item, Result]]) -> list[Result] | BaseException:
        items = [one.item for one in batch]
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._checked, items)
        await asyncio.wait({running})
        return running.exception() or running.result()

    def _checked(self, items: list[Item]) -> list[Result]:
        results = self._run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items gave {len(results)} results")
        return results
