"""Engines for tests, and how to wait for them and compare what they answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from methods import Backbone, Chosen, Classified, Generated, Span, Tagged
from registry import Registry
from serve.engine.answered import Answered
from serve.engine.engine import PromptEngine


@asynccontextmanager
async def engine_of(backbone: Backbone, registry: Registry) -> AsyncIterator[PromptEngine]:
    engine = PromptEngine(backbone, registry)
    try:
        await engine.follower.start()
        yield engine
    finally:
        await engine.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


async def until(true: Callable[[], bool], within_s: float = 5) -> float:
    """Seconds until it became true."""
    started = time.perf_counter()
    while not true():
        assert time.perf_counter() - started < within_s
        await asyncio.sleep(0.002)
    return time.perf_counter() - started


def numbers(answered: Answered) -> list[float]:
    match answered.answer:
        case Classified(scores=scores):
            return list(scores.values())
        case Chosen(index=index, scores=scores):
            return [index, *scores]
        case Tagged(scores=scores):
            return list(scores)
        case Span(start=start, end=end, score=score):
            return [start, end, score]
        case Generated(text):
            return [ord(character) for character in text]
