"""Answers of prompts that generate text: pieces, then how the answer ended and the tokens it took."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from methods import Generated
from registry import Version

from ..engine.answered import Answered
from ..engine.engine import PromptEngine
from ..engine.stream import Stream
from ..errors import Failed, Invalid
from ..schemas import Input
from .openai_answers import Usage
from .openai_schemas import Speaking
from .stops import Until

Finish: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True)
class Told:
    """An answer or, in a stream, its next piece; `finish` says why it ends there, and `usage` is known then."""

    index: int
    version: Version
    text: str
    finish: Finish | None = None
    usage: Usage | None = None


async def check(engine: PromptEngine, model: str) -> None:
    """Refuse a model that generates no text.

    Raises:
        Invalid: naming what its prompt answers instead.
    """
    task = (await engine.served(model)).task
    if task.kind != "generation":
        what = f"prompt {model!r} answers {task.kind} rows and generates no text"
        raise Invalid(f"model: {what}", hint="ask it at /v1/predict")


async def say(engine: PromptEngine, asked: Speaking, texts: Sequence[str]) -> list[Told]:
    """A whole answer for each text; with stops, nothing is generated behind them."""
    if not asked.stops:
        answered = await engine.predict(_rows(asked, texts), asked.limit)
        return [_whole(index, one) for index, one in enumerate(answered)]
    try:
        async with asyncio.TaskGroup() as all_of_them:
            streams = await engine.streams(_rows(asked, texts), asked.limit)
            pieces = [_pieces(index, one, asked.stops) for index, one in enumerate(streams)]
            saying = [all_of_them.create_task(_joined(one)) for one in pieces]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [one.result() for one in saying]


async def tell(engine: PromptEngine, asked: Speaking, texts: Sequence[str]) -> AsyncGenerator[Told, None]:
    """The answers in pieces, one text after the other."""
    for index, stream in enumerate(await engine.streams(_rows(asked, texts), asked.limit)):
        async with aclosing(_pieces(index, stream, asked.stops)) as pieces:
            async for told in pieces:
                yield told


def total(usages: Iterable[Usage | None]) -> Usage:
    """The tokens of several answers."""
    each = [one for one in usages if one is not None]
    return _usage(sum(one.prompt_tokens for one in each), sum(one.completion_tokens for one in each))


async def _pieces(index: int, stream: Stream, stops: Sequence[str]) -> AsyncGenerator[Told, None]:
    """The pieces of one answer, the last of which says how it ended."""
    until = Until(stops)
    async with aclosing(stream):
        async for piece in stream:
            if text := until.pass_on(piece):
                yield Told(index, stream.version, text)
            if until.met:
                await stream.enough()
                break
    stopped = until.met or (stream.answer is not None and stream.answer.stopped)
    finish: Finish = "stop" if stopped else "length"
    yield Told(index, stream.version, until.rest(), finish, _usage(stream.read, stream.said))


async def _joined(pieces: AsyncGenerator[Told, None]) -> Told:
    async with aclosing(pieces):
        each = [one async for one in pieces]
    return replace(each[-1], text="".join(one.text for one in each))


def _rows(asked: Speaking, texts: Sequence[str]) -> list[Input]:
    key = asked.user or secrets.token_hex(16)  # of all rows, so that one arm answers them
    return [Input(prompt=asked.model, text=text, key=key) for text in texts]


def _whole(index: int, answered: Answered) -> Told:
    answer = answered.answer
    if not isinstance(answer, Generated):
        raise Failed(f"{answered.version.reference} generates no text")
    finish: Finish = "stop" if answer.stopped else "length"
    return Told(index, answered.version, answer.text, finish, _usage(answer.read, answer.said))


def _usage(read: int, said: int) -> Usage:
    return Usage(prompt_tokens=read, completion_tokens=said, total_tokens=read + said)
