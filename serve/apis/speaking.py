"""Answers of prompts that generate text: pieces, then how the answer ended and the tokens it took."""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, TypeAlias

from methods import Generated
from registry import Version

from ..engine.engine import Answered, PromptEngine
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
    """A whole answer for each text."""
    answered = await engine.predict(_rows(asked, texts), asked.limit)
    return [_whole(index, one, asked.stops) for index, one in enumerate(answered)]


async def tell(engine: PromptEngine, asked: Speaking, texts: Sequence[str]) -> AsyncGenerator[Told, None]:
    """The answers in pieces, one text after the other."""
    for index, given in enumerate(_rows(asked, texts)):
        until, said = Until(asked.stops), await engine.stream(given, asked.limit)
        async with aclosing(said):
            async for piece in said:
                if text := until.pass_on(piece):
                    yield Told(index, said.version, text)
        answer = said.answer or Generated("")
        yield Told(index, said.version, until.rest(), _finish(answer, until), _usage(answer.read, answer.said))


def total(usages: Iterable[Usage | None]) -> Usage:
    """The tokens of several answers."""
    each = [one for one in usages if one is not None]
    return _usage(sum(one.prompt_tokens for one in each), sum(one.completion_tokens for one in each))


def _rows(asked: Speaking, texts: Sequence[str]) -> list[Input]:
    key = asked.user or secrets.token_hex(16)  # of all rows, so that one arm answers them
    return [Input(prompt=asked.model, text=text, key=key) for text in texts]


def _whole(index: int, answered: Answered, stops: Sequence[str]) -> Told:
    answer = answered.answer
    if not isinstance(answer, Generated):
        raise Failed(f"{answered.version.reference} generates no text")
    until = Until(stops)
    text = until.pass_on(answer.text) + until.rest()
    return Told(index, answered.version, text, _finish(answer, until), _usage(answer.read, answer.said))


def _finish(answer: Generated, until: Until) -> Finish:
    return "stop" if answer.stopped or until.met else "length"


def _usage(read: int, said: int) -> Usage:
    return Usage(prompt_tokens=read, completion_tokens=said, total_tokens=read + said)
