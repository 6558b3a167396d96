"""What lies between two answers, and who asks a shadow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple, replace

import pytest

from methods import Answer, Artifact, Chosen, Classified, Generated, Row, Span, Tagged
from serve.errors import Overloaded, TimedOut
from serve.routing.shadow import MOST_WAITING, Shadows, distance
from serve.routing.snapshot import Passed, Served

from .conftest import SENTIMENT, Publish
from .engines import run, until


@pytest.mark.parametrize(
    ("one", "other", "between"),
    [
        (Classified("a", {"a": 0.75, "b": 0.25}), Classified("b", {"a": 0.25, "b": 0.75}), 0.5),  # (0.5 + 0.5) / 2
        (Classified("a", {"a": 1.0}), Classified("b", {"b": 1.0}), 1.0),
        (Classified("a", {"a": 0.5, "b": 0.5}), Classified("a", {"a": 0.5, "b": 0.25, "c": 0.25}), 0.25),
        (Chosen("x", 0, (0.75, 0.25)), Chosen("x", 0, (1.0, 0.0)), 0.25),
        (Tagged(("A", "O"), (0.5, 0.75)), Tagged(("A", "B"), (0.75, 0.5)), 0.625),  # (0.25 + 1) / 2
        (Span("he", 0, 2, 0.5), Span("he", 0, 2, 0.75), 0.25),
        (Span("he", 0, 2, 0.5), Span("he", 3, 5, 0.5), 1.0),
        (Generated("so"), Generated("so"), 0.0),
        (Generated("so"), Generated("no"), 1.0),
        (Generated("so"), Span("so", 0, 2, 1.0), 1.0),
    ],
)
def test_the_distance_of_answers(one: Answer, other: Answer, between: float) -> None:
    assert distance(one, other) == distance(other, one) == pytest.approx(between)
    assert distance(one, one) == 0


SURE, UNSURE = Classified("a", {"a": 1.0, "b": 0.0}), Classified("b", {"a": 0.5, "b": 0.5})
ROW = Row("the film was good")


@pytest.fixture
def stable(make: Callable[..., Artifact], publish: Publish) -> Served:
    """A version, with another as its shadow."""
    one, other = make(SENTIMENT, 1), make(SENTIMENT, 2)
    return Served(publish("sentiment", one), one, SENTIMENT, shadow=Passed(publish("sentiment", other), SENTIMENT))


class Server:
    """How much waits, and what a shadow answers."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.queued, self.asked = 0, 0
        self._answers = answers

    async def ask(self, shadow: Passed, row: Row) -> Answer:
        said = self._answers[self.asked % len(self._answers)]
        self.asked += 1
        if isinstance(said, Exception):
            raise said
        return said


@asynccontextmanager
async def shadows_of(server: Server) -> AsyncIterator[Shadows]:
    shadows = Shadows(server.ask, lambda: server.queued, 100)
    yield shadows
    await shadows.close()


def numbers_of(shadows: Shadows, stable: Served) -> tuple[int, int, float, int, int]:
    assert stable.shadow is not None
    return astuple(shadows.comparison(stable.version, stable.shadow.version))


def test_a_shadow_is_compared_and_what_it_cannot_answer_is_counted(stable: Served) -> None:
    async def main() -> None:
        server = Server(SURE, UNSURE, ValueError(), Overloaded("full"), TimedOut("late"))
        async with shadows_of(server) as shadows:
            for _ in range(5):
                shadows.offer(stable, ROW, SURE)
            await until(lambda: server.asked == 5)
            # compared, agreed, distance (0 + 0.5), failed, dropped
            await until(lambda: numbers_of(shadows, stable) == (2, 1, 0.5, 1, 2))
            shadows.offer(replace(stable, shadow=None), ROW, SURE)
            await asyncio.sleep(0.01)
            assert server.asked == 5

    run(main())


def test_nobody_asks_a_shadow_while_somebody_waits_for_an_answer(stable: Served) -> None:
    async def main() -> None:
        server = Server(SURE)
        async with shadows_of(server) as shadows:
            server.queued = 1
            shadows.offer(stable, ROW, SURE)
            await asyncio.sleep(0.03)
            assert server.asked == 0
            server.queued = 0
            await until(lambda: server.asked == 1)

    run(main())


@pytest.mark.parametrize(("queued", "offered", "dropped"), [(50, 3, 3), (49, 3, 0), (1, MOST_WAITING + 5, 5)])
def test_rows_are_dropped_when_the_server_is_half_full_or_too_many_wait(
    stable: Served, queued: int, offered: int, dropped: int
) -> None:
    async def main() -> None:
        server = Server(SURE)
        server.queued = queued
        async with shadows_of(server) as shadows:
            for _ in range(offered):
                shadows.offer(stable, ROW, SURE)
            assert numbers_of(shadows, stable) == (0, 0, 0, 0, dropped)

    run(main())
