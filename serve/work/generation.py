"""Rows that generate go on together, token by token; a row that ends leaves, and a new one joins at the next step."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias, TypeVar

import numpy as np

from methods import Artifact, Backbone, Example, Output
from methods.speaking import Speakers, Speech

from ..metrics.observer import SILENT, Observer
from .waiting import Queue, Waiting, settle

Value = TypeVar("Value")
Hear: TypeAlias = Callable[[Sequence[int]], None]  # is told the tokens said so far, whenever there is another one


@dataclass(frozen=True)
class Ask:
    """What is to be continued; `hear` is told of an answer, not of thoughts."""

    artifact: Artifact
    example: Example
    hear: Hear | None = None

    @property
    def tokens(self) -> int:
        """Tokens that it holds at the most, as long as it goes on."""
        return self.example.length + Speech.begun(self.artifact, self.example).limit


Told: TypeAlias = Waiting[Ask, Output]


class Generation:
    """Takes from a queue what there is room for, and gives everything that goes on one more token at a time.

    Each step is a run of its own in the thread, so that what else runs there waits for one token and not for a text. A
    batch that cannot begin is begun again row by row, so that a bad row fails alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        queue: Queue[Ask, Output],
        thread: Executor,
        *,
        room: int,
        token_budget: int,
        observer: Observer = SILENT,
    ) -> None:
        self._backbone, self._queue, self._thread = backbone, queue, thread
        self._room, self._token_budget, self._observer = room, token_budget, observer
        self._told: dict[Speech, Told] = {}  # all that goes on
        self._groups: list[Speakers] = []
        self._loop = asyncio.create_task(self._serve())

    @property
    def going(self) -> int:
        """How many rows go on."""
        return len(self._told)

    @property
    def alive(self) -> bool:
        """Whether it takes from its queue."""
        return not self._loop.done()

    async def close(self) -> None:
        """Finish what goes on and turn away what waits."""
        self._queue.close()
        await self._loop
        self._queue.turn_away()

    async def _serve(self) -> None:
        while self._queue.open or self._told:
            if not self._told:
                await self._queue.arrival()
            await self._begin([*self._answers(), *self._new()])
            for group in list(self._groups):
                await self._step(group)
            self._tell()

    def _new(self) -> list[Speech]:
        """Those that there is room for; the first one needs none."""
        if not self._queue.open or (self._told and self._left() < self._token_budget):
            return []
        taken = self._queue.take(min(max(self._left(), 1), self._token_budget))
        for one in taken:
            self._observer.waited(perf_counter() - one.since)
        begun = {Speech.begun(one.item.artifact, one.item.example): one for one in taken}
        self._told |= begun
        return list(begun)

    def _left(self) -> int:
        return self._room - sum(told.tokens for told in self._told.values())

    def _answers(self) -> list[Speech]:
        """What follows thoughts that are over."""
        found = {}
        for thoughts in [one for one in self._told if one.over and not one.answers]:
            told = self._told.pop(thoughts)
            if not told.answer.done():
                found[thoughts.answer(self._backbone)] = told
        self._told |= found
        return list(found)

    async def _begin(self, speeches: list[Speech]) -> None:
        """Begin speeches together, and have them join a group that they can go on with."""
        if not speeches:
            return
        begun = await self._in_thread(lambda: Speakers(self._backbone, speeches))
        if isinstance(begun, Speakers):
            joined = await self._in_thread(lambda: any(group.join(begun) for group in self._groups))
            if isinstance(joined, BaseException):
                self._fail([*self._groups, begun], joined)
            elif not joined:
                self._groups.append(begun)
        elif len(speeches) == 1:
            settle(self._told.pop(speeches[0]), begun)
        else:
            for one in speeches:
                await self._begin([one])

    async def _step(self, group: Speakers) -> None:
        stepped = await self._in_thread(group.step)
        if isinstance(stepped, BaseException):
            self._fail([group], stepped)

    def _fail(self, groups: Sequence[Speakers], error: BaseException) -> None:
        for speech in [one for group in groups for one in group.speeches]:
            speech.over = True
            if speech in self._told:
                settle(self._told.pop(speech), error)

    def _tell(self) -> None:
        """Hand out what is new and what is over, and let go of rows that nobody waits for."""
        for speech, told in list(self._told.items()):
            if told.answer.done():
                speech.over = True
                del self._told[speech]
            elif speech.answers:
                if told.item.hear is not None:
                    told.item.hear(tuple(speech.said))
                if speech.over:
                    self._observer.spoke(len(speech.said))
                    settle(self._told.pop(speech), np.array(speech.said, np.int64))
        self._groups = [group for group in self._groups if not all(one.over for one in group.speeches)]

    async def _in_thread(self, work: Callable[[], Value]) -> Value | BaseException:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        await asyncio.wait({running})
        return running.exception() or running.result()
