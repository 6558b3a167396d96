"""Shadows: candidates that answer rows beside their alias's version, to be compared and never returned."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from methods import Answer, Chosen, Classified, Generated, Row, Span, Tagged
from registry import Version

from ..errors import Overloaded, TimedOut
from .snapshot import Passed, Served

AT_ONCE = 16  # rows
MOST_WAITING = 256  # rows
PAUSE_S = 0.005

Ask: TypeAlias = Callable[[Passed, Row], Awaitable[Answer]]


@dataclass
class Comparison:
    """How often a candidate said the same; `distance` sums what lies between the scores, 0 to 1 for each row."""

    compared: int = 0
    agreed: int = 0
    distance: float = 0.0
    failed: int = 0
    dropped: int = 0

    def add(self, stable: Answer, candidate: Answer) -> None:
        """Count two answers to one row."""
        self.compared += 1
        self.agreed += _choice(stable) == _choice(candidate)
        self.distance += distance(stable, candidate)


@dataclass(frozen=True)
class _Waiting:
    comparison: Comparison
    candidate: Passed
    row: Row
    answer: Answer


class Shadows:
    """Asks candidates when nobody else waits; a row that comes while the server is half full is dropped.

    Rows wait in memory for their turn; of what was said only the numbers are kept.
    """

    def __init__(self, ask: Ask, queued: Callable[[], int], limit: int) -> None:
        self._ask, self._queued, self._limit = ask, queued, limit
        self._comparisons: dict[tuple[int, int], Comparison] = {}
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def offer(self, stable: Served, row: Row, answer: Answer) -> None:
        """Have the version's shadow, if it has one, answer a row that was answered so: some time, perhaps."""
        if (candidate := stable.shadow) is None:
            return
        comparison = self._comparisons.setdefault((stable.version.id, candidate.version.id), Comparison())
        if len(self._waiting) >= MOST_WAITING or self._queued() * 2 >= self._limit:
            comparison.dropped += 1
            return
        self._waiting.append(_Waiting(comparison, candidate, row, answer))
        self._arrived.set()

    def comparison(self, stable: Version, candidate: Version) -> Comparison:
        """What is known of a candidate beside a version so far."""
        return self._comparisons.get((stable.id, candidate.id), Comparison())

    async def close(self) -> None:
        """Forget what waits."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._waiting.clear()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if self._queued():
                await asyncio.sleep(PAUSE_S)
                continue
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            await self._compare(some)

    async def _compare(self, some: Sequence[_Waiting]) -> None:
        asking = (self._ask(one.candidate, one.row) for one in some)
        for one, said in zip(some, await asyncio.gather(*asking, return_exceptions=True), strict=True):
            match said:
                case Overloaded() | TimedOut():
                    one.comparison.dropped += 1
                case BaseException():
                    one.comparison.failed += 1
                case _:
                    one.comparison.add(one.answer, said)


def distance(one: Answer, other: Answer) -> float:
    """What lies between two answers, 0 to 1.

    The total variation of their scores where those of every choice are known; else the difference of their scores
    where they say the same, and 1 where they do not. Of tags it is the mean over the words.
    """
    match one, other:
        case Classified(scores=a), Classified(scores=b):
            return sum(abs(a.get(label, 0.0) - b.get(label, 0.0)) for label in a.keys() | b.keys()) / 2
        case Chosen(scores=a), Chosen(scores=b) if len(a) == len(b):
            return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2
        case Tagged(), Tagged() if one.tags and len(one.tags) == len(other.tags):
            words = zip(one.tags, other.tags, one.scores, other.scores, strict=True)
            return sum(abs(x - y) if a == b else 1.0 for a, b, x, y in words) / len(one.tags)
        case Span(), Span() if _choice(one) == _choice(other):
            return abs(one.score - other.score)
        case _:
            return float(_choice(one) != _choice(other))


def _choice(answer: Answer) -> object:
    """What an answer says, less how surely."""
    match answer:
        case Classified(label):
            return label
        case Chosen(index=index):
            return index
        case Tagged(tags):
            return tags
        case Span(start=start, end=end):
            return start, end
        case Generated(text):
            return text
