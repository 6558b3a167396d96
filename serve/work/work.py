"""All that goes through the backbone: rows in batches, and rows that generate token by token, in one thread."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from methods import Artifact, Backbone, Example, GenerationHead, Output, SoftPrompt, parts, predict

from ..metrics.observer import SILENT, Observer
from .batcher import Batcher
from .generation import Ask, Generation, Hear
from .waiting import Queue

TOKEN_BUDGET = 2048  # padded tokens of one forward
QUEUE_TOKENS = 131_072
ROOM = 16_384  # tokens of all rows that generate at once

Item: TypeAlias = tuple[Artifact, Example]
Outcomes: TypeAlias = Coroutine[Any, Any, list[Output | BaseException]]
Submit: TypeAlias = Callable[[Sequence[Item]], Outcomes]


class Work:
    """A row is answered by a batch, or goes on step by step between batches, as its head wants it."""

    def __init__(self, backbone: Backbone, deadline_s: float | None = None, observer: Observer = SILENT) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forward")
        self._rows: Queue[Item, Output] = Queue(
            _tokens, limit=QUEUE_TOKENS, key=lambda item: item[0].card.name, deadline_s=deadline_s
        )
        self._asks: Queue[Ask, Output] = Queue(
            lambda ask: ask.tokens, limit=QUEUE_TOKENS, key=lambda ask: ask.artifact.card.name, deadline_s=deadline_s
        )
        self._batcher = Batcher(
            lambda items: predict(backbone, items),
            self._rows,
            self._thread,
            token_budget=TOKEN_BUDGET,
            observer=observer,
        )
        self._generation = Generation(
            backbone, self._asks, self._thread, room=ROOM, token_budget=TOKEN_BUDGET, observer=observer
        )

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the rows that have not begun."""
        return self._rows.tokens + self._asks.tokens

    @property
    def going(self) -> int:
        """Rows that generate now."""
        return self._generation.going

    @property
    def alive(self) -> bool:
        """Whether rows are still taken from the queues."""
        return self._batcher.alive and self._generation.alive

    async def close(self) -> None:
        """Finish what runs and turn away what waits."""
        await asyncio.gather(self._batcher.close(), self._generation.close())
        self._thread.shutdown()

    async def submit(self, items: Sequence[Item]) -> list[Output | BaseException]:
        """Each item's output, or the error that it alone ran into; all of them are let in, or none.

        Raises:
            Invalid: the items together are more than a queue ever holds.
            Overloaded: a queue is too full for them now.
        """
        return await _split(items, self._rows.submit, self._asks.submit)

    async def rush(self, items: Sequence[Item]) -> list[Output | BaseException]:
        """Like `submit`, but ahead of all that wait, however full the queues are, and without a deadline."""
        return await _split(items, self._rows.rush, self._asks.rush)

    async def alone(self, work: Callable[[], object]) -> None:
        """Do something between two forwards."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def listen(self, item: Item, hear: Hear) -> Output | BaseException:
        """The output of an item that generates, or its error; until then `hear` is told of it.

        Raises:
            Invalid, Overloaded: as `submit` does.
        """
        (outcome,) = await self._asks.submit([Ask(*item, hear=hear)])
        return outcome


def _tokens(item: Item) -> int:
    """Tokens of a forward, virtual ones among them."""
    artifact, example = item
    virtual = sum(len(part.embeddings) for part in parts(artifact.form) if isinstance(part, SoftPrompt))
    return example.length + virtual * len(example.sequences)


async def _split(
    items: Sequence[Item], answered: Submit, spoken: Callable[[Sequence[Ask]], Outcomes]
) -> list[Output | BaseException]:
    """Ask for rows and for speeches at once; if either is not let in, neither goes on."""
    aloud = [isinstance(artifact.head, GenerationHead) for artifact, _ in items]
    asks = [Ask(*item) for item, speaks in zip(items, aloud, strict=True) if speaks]
    if not asks:
        return await answered(items)
    rows = [item for item, speaks in zip(items, aloud, strict=True) if not speaks]
    if not rows:
        return await spoken(asks)
    try:
        async with asyncio.TaskGroup() as both:
            found = {True: both.create_task(spoken(asks)), False: both.create_task(answered(rows))}
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    each = {speaks: iter(task.result()) for speaks, task in found.items()}
    return [next(each[speaks]) for speaks in aloud]
