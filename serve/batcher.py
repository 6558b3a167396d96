"""Single items in, batches out: the next batch gathers while the last one runs."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from .errors import Invalid, Overloaded, Unavailable
from .packing import pack

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_LINGER_S = 0.005
LINGER = 0.1  # of the last run
LONGEST_RETRY_S = 60


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    tokens: int
    answer: asyncio.Future[Result]


class Batcher(Generic[Item, Result]):
    """Runs items through `run` in one thread, as many at a time as fit the token budget.

    Every batch holds the item that has waited longest, beside items of similar length. An item whose future was
    cancelled is skipped. A batch that fails is run again item by item, once, so that a bad item fails alone.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], list[Result]],
        tokens: Callable[[Item], int],
        *,
        token_budget: int,
        queue_tokens: int,
    ) -> None:
        self._run, self._tokens = run, tokens
        self._token_budget, self._queue_tokens = token_budget, queue_tokens
        self._waiting: list[_Waiting[Item, Result]] = []
        self._arrived = asyncio.Event()
        self._open = True
        self._last_run_s = 0.0
        self._tokens_per_s = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forward")
        self._loop = asyncio.create_task(self._serve())

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the items that no batch has taken yet."""
        return sum(one.tokens for one in self._waiting if not one.answer.done())

    async def submit(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Each item's result, or the error that this item alone ran into; all of them are let in, or none.

        Raises:
            Invalid: the items together are more than the queue ever holds.
            Overloaded: the queue is too full for them now.
        """
        new = self._wrap(items)
        self._admit(sum(one.tokens for one in new))
        self._waiting += new
        return await self._results(new)

    async def rush(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Like `submit`, but ahead of all that wait and however full the queue is."""
        new = self._wrap(items)
        self._waiting[:0] = new
        return await self._results(new)

    async def close(self) -> None:
        """Finish the batch that runs and turn away what waits."""
        self._open = False
        self._arrived.set()
        await self._loop
        self._thread.shutdown()
        for one in self._waiting:
            if not one.answer.done():
                one.answer.set_exception(Unavailable("the server is stopping"))

    def _wrap(self, items: Sequence[Item]) -> list[_Waiting[Item, Result]]:
        if not self._open:
            raise Unavailable("the server is stopping")
        loop = asyncio.get_running_loop()
        return [_Waiting(item, self._tokens(item), loop.create_future()) for item in items]

    async def _results(self, new: list[_Waiting[Item, Result]]) -> list[Result | BaseException]:
        self._arrived.set()
        return await asyncio.gather(*(one.answer for one in new), return_exceptions=True)

    def _admit(self, tokens: int) -> None:
        if tokens > self._queue_tokens:
            raise Invalid(
                f"the request has {tokens} tokens; one request may have {self._queue_tokens}",
                hint="send fewer inputs at a time",
            )
        if (ahead := self.waiting_tokens) + tokens > self._queue_tokens:
            wait_s = math.ceil(ahead / self._tokens_per_s) if self._tokens_per_s else 1
            retry_s = min(max(wait_s, 1), LONGEST_RETRY_S)
            raise Overloaded(
                f"{ahead} tokens are waiting already, of the {self._queue_tokens} that the server queues",
                retry_after_s=retry_s,
                hint=f"try again in {retry_s} s",
            )

    async def _serve(self) -> None:
        while self._open:
            await self._arrived.wait()
            if self.waiting_tokens < self._token_budget:
                await asyncio.sleep(min(LONGEST_LINGER_S, LINGER * self._last_run_s))
            if self._open and (batch := self._take()):
                await self._answer(batch)

    def _take(self) -> list[_Waiting[Item, Result]]:
        live = [one for one in self._waiting if not one.answer.done()]
        taken = set(pack([one.tokens for one in live], self._token_budget))
        self._waiting = [one for index, one in enumerate(live) if index not in taken]
        if not self._waiting:
            self._arrived.clear()
        return [live[index] for index in sorted(taken)]

    async def _answer(self, batch: list[_Waiting[Item, Result]]) -> None:
        started = time.perf_counter()
        outcome = await self._outcome(batch)
        self._last_run_s = time.perf_counter() - started
        self._tokens_per_s = sum(one.tokens for one in batch) / max(self._last_run_s, 1e-6)
        if isinstance(outcome, BaseException) and len(batch) > 1:
            for one in batch:
                if not one.answer.done():
                    _settle([one], await self._outcome([one]))
        else:
            _settle(batch, outcome)

    async def _outcome(self, batch: list[_Waiting[Item, Result]]) -> list[Result] | BaseException:
        items = [one.item for one in batch]
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._checked, items)
        await asyncio.wait({running})
        return running.exception() or running.result()

    def _checked(self, items: list[Item]) -> list[Result]:
        results = self._run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items gave {len(results)} results")
        return results


def _settle(batch: list[_Waiting[Item, Result]], outcome: list[Result] | BaseException) -> None:
    for index, one in enumerate(batch):
        if one.answer.done():
            continue
        if isinstance(outcome, BaseException):
            one.answer.set_exception(outcome)
        else:
            one.answer.set_result(outcome[index])
