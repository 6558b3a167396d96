"""Who waits, and whose turn it is: a bounded queue that is fair between keys."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Generic, TypeVar

from ..errors import Invalid, Overloaded, TimedOut, Unavailable
from .packing import WINDOW, pack

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_RETRY_S = 60
RUSHED = object()  # the key of those who go ahead of all


@dataclass(frozen=True, eq=False)
class Waiting(Generic[Item, Result]):
    """An item, and where its result goes; whoever cancels that no longer wants it."""

    item: Item
    key: Hashable
    tokens: int
    answer: asyncio.Future[Result]
    since: float = field(default_factory=time.perf_counter)  # seconds


class Queue(Generic[Item, Result]):
    """Items line up behind those of their own key, and keys take turns: who has had its turn goes behind the others.

    So a row waits for as many batches as there are keys before it, however many rows each of them has. An item whose
    future was cancelled leaves, one whose deadline passes leaves with an error. Lives on one event loop.
    """

    def __init__(
        self,
        tokens: Callable[[Item], int],
        *,
        limit: int,
        key: Callable[[Item], Hashable] = lambda _: None,
        deadline_s: float | None = None,
    ) -> None:
        self.tokens = 0  # of all who wait
        self.tokens_per_s = 0.0  # as fast as they were served last
        self.open = True
        self._tokens_of, self._key_of = tokens, key
        self._limit, self._deadline_s = limit, deadline_s
        self._lines: dict[Hashable, dict[Waiting[Item, Result], None]] = {}  # in the order of their turns
        self._arrived = asyncio.Event()

    async def submit(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Each item's result, or the error that this item alone ran into; all of them are let in, or none.

        Raises:
            Invalid: the items together are more than the queue ever holds.
            Overloaded: the queue is too full for them now.
            Unavailable: the queue is closed.
        """
        new = self._wrap(items)
        self._admit(sum(one.tokens for one in new))
        return await self._results(new, self._deadline_s)

    async def rush(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """Like `submit`, but ahead of all who wait, however full the queue is, and without a deadline."""
        return await self._results(self._wrap(items, RUSHED), None)

    def take(self, budget: int) -> list[Waiting[Item, Result]]:
        """The next batch: the first one of the key whose turn it is, and items of similar length in turn."""
        seen = list(self._in_turn(WINDOW * budget))
        for one in (one for one in seen if one.answer.done()):  # nobody waits for them any more
            self._leave(one)
        order = [one for one in seen if not one.answer.done()]
        taken = [order[index] for index in sorted(pack([one.tokens for one in order], budget))]
        for one in taken:
            self._leave(one)
        if taken and taken[0].key in self._lines:
            self._lines[taken[0].key] = self._lines.pop(taken[0].key)
        return taken

    async def arrival(self) -> None:
        """Return once somebody waits, or the queue is closed."""
        await self._arrived.wait()

    def close(self) -> None:
        """Let nobody in any more."""
        self.open = False
        self._arrived.set()

    def turn_away(self) -> None:
        """Tell all who still wait that they wait in vain."""
        for one in [one for line in self._lines.values() for one in line]:
            self._refuse(one, Unavailable("the server is stopping"))

    def _wrap(self, items: Sequence[Item], key: Hashable = None) -> list[Waiting[Item, Result]]:
        if not self.open:
            raise Unavailable("the server is stopping")
        loop = asyncio.get_running_loop()
        return [Waiting(item, key or self._key_of(item), self._tokens_of(item), loop.create_future()) for item in items]

    async def _results(
        self, new: list[Waiting[Item, Result]], deadline_s: float | None
    ) -> list[Result | BaseException]:
        for one in new:
            self._lines.setdefault(one.key, {})[one] = None
            self.tokens += one.tokens
            one.answer.add_done_callback(lambda _, one=one: self._leave(one))
        if new:
            self._arrived.set()
        loop = asyncio.get_running_loop()
        timer = None if deadline_s is None else loop.call_later(deadline_s, self._expire, new, deadline_s)
        try:
            return await asyncio.gather(*(one.answer for one in new), return_exceptions=True)
        finally:
            if timer is not None:
                timer.cancel()

    def _admit(self, tokens: int) -> None:
        if tokens > self._limit:
            raise Invalid(
                f"the request has {tokens} tokens; one request may have {self._limit}",
                hint="send fewer inputs at a time",
            )
        if self.tokens + tokens > self._room():
            wait_s = math.ceil(self.tokens / self.tokens_per_s) if self.tokens_per_s else 1
            retry_s = min(max(wait_s, 1), LONGEST_RETRY_S)
            raise Overloaded(
                f"{self.tokens} tokens are waiting already, of the {self._room()} that the server queues now",
                retry_after_s=retry_s,
                hint=f"try again in {retry_s} s",
            )

    def _room(self) -> int:
        """Tokens that may wait: the limit, or what can be served by the deadline where that is less.

        Who waits alone is let in, and shows how fast it goes.
        """
        if self._deadline_s is None or not self.tokens_per_s or not self.tokens:
            return self._limit
        return min(self._limit, int(self._deadline_s * self.tokens_per_s))

    def _in_turn(self, tokens: int) -> Iterator[Waiting[Item, Result]]:
        """Those who rush, then the first of every line, then the second of every line, as far as a batch looks."""
        lines = [self._lines.get(RUSHED, {}), *(line for key, line in self._lines.items() if key is not RUSHED)]
        several = (one for turn in zip_longest(*lines[1:]) for one in turn if one)
        for one in chain(lines[0], several):
            yield one
            if (tokens := tokens - one.tokens) < 0:
                return

    def _leave(self, one: Waiting[Item, Result]) -> None:
        line = self._lines.get(one.key, {})
        if one not in line:
            return
        del line[one]
        self.tokens -= one.tokens
        if not line:
            del self._lines[one.key]
        if not self._lines and self.open:
            self._arrived.clear()

    def _expire(self, new: Sequence[Waiting[Item, Result]], deadline_s: float) -> None:
        for one in [one for one in new if one in self._lines.get(one.key, {})]:
            hint = "send fewer rows at a time, or try again later"
            self._refuse(one, TimedOut(f"it has waited for {deadline_s:g} s and was not run", hint=hint))

    def _refuse(self, one: Waiting[Item, Result], error: Exception) -> None:
        self._leave(one)
        if not one.answer.done():
            one.answer.set_exception(error)


def settle(one: Waiting[Item, Result], outcome: Result | BaseException) -> None:
    """Hand out a result or an error, where it is still wanted."""
    if one.answer.done():
        return
    if isinstance(outcome, BaseException):
        one.answer.set_exception(outcome)
    else:
        one.answer.set_result(outcome)
