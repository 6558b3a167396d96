"""Generation in the engine: rows go on together, are heard while they speak, and hold nobody up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods import Artifact, Backbone, Example, Generated, Output, Row, Task, TextPrompt, encode, predict
from methods.heads import GenerationHead, ReasoningHead
from methods.rows.text_prompt import Demonstration
from methods.words.reasoning import extracted
from methods.words.settled import settled
from registry import Move, Registry
from serve.errors import Invalid
from serve.schemas import Input
from serve.work.generation import Ask, Generation
from serve.work.waiting import Queue
from serve.work.work import Work

from .conftest import SENTIMENT, STORY, Publish
from .engines import engine_of, run, until

TEXTS = (
    "the old bridge",
    "a red book and a blue book on the left of the old tower",
    "not",
    "which film was good",
    "the mayor of the city sold one bridge in the night",
)


@pytest.fixture(scope="module")
def asks(speaker: Backbone, make: Callable[..., Artifact]) -> list[tuple[Artifact, Example]]:
    """Rows of several prompts, with limits of their own; the last one thinks first."""
    forms = ("soft-prompt", "prefix", "none", "prefix", "soft-prompt")
    heads = [GenerationHead(9), GenerationHead(4), GenerationHead(1), GenerationHead(12)]
    heads.append(ReasoningHead(3, trigger=(7, 8), answer_limit=5))
    made = [make(STORY, seed, form=form, length=seed + 1, backbone=speaker) for seed, form in enumerate(forms)]
    return [
        (replace(artifact, head=head), encode(speaker, STORY, Row(text))[0])
        for artifact, head, text in zip(made, heads, TEXTS, strict=True)
    ]


@pytest.fixture(scope="module")
def expected(speaker: Backbone, asks: list[tuple[Artifact, Example]]) -> list[list[int]]:
    return [predict(speaker, [item])[0].tolist() for item in asks]


@asynccontextmanager
async def generating(
    backbone: Backbone, limit: int = 10_000, room: int = 2000
) -> AsyncIterator[tuple[Generation, Queue[Ask, Output]]]:
    queue: Queue[Ask, Output] = Queue(lambda ask: ask.tokens, limit=limit)
    with ThreadPoolExecutor(1) as thread:
        generation = Generation(backbone, queue, thread, room=room, token_budget=100)
        try:
            yield generation, queue
        finally:
            await generation.close()


def test_rows_that_come_at_any_time_say_what_they_say_alone(
    speaker: Backbone, asks: list[tuple[Artifact, Example]], expected: list[list[int]]
) -> None:
    async def main() -> None:
        async with generating(speaker) as (generation, queue):

            async def ask(place: int) -> Output | BaseException:
                await asyncio.sleep(0.003 * (place % 7))
                return (await queue.submit([Ask(*asks[place % 5])]))[0]

            outputs = await asyncio.gather(*(ask(place) for place in range(20)))
            assert generation.going == 0
        for place, output in enumerate(outputs):
            assert isinstance(output, np.ndarray)
            assert output.tolist() == expected[place % 5]

    run(main())


def test_more_rows_than_there_is_room_for_wait_their_turn(
    speaker: Backbone, asks: list[tuple[Artifact, Example]], expected: list[list[int]]
) -> None:
    async def main() -> None:
        async with generating(speaker, room=110) as (generation, queue):
            most = 0

            def hear(_: Sequence[int]) -> None:
                nonlocal most
                most = max(most, generation.going)

            outputs = await queue.submit([replace(Ask(*asks[n % 4]), hear=hear) for n in range(24)])
        for n, output in enumerate(outputs):
            assert isinstance(output, np.ndarray)
            assert output.tolist() == expected[n % 4]
        assert 1 < most < 24

    run(main())


def test_a_row_that_cannot_begin_fails_alone(
    speaker: Backbone, asks: list[tuple[Artifact, Example]], expected: list[list[int]]
) -> None:
    async def main() -> None:
        broken = replace(asks[0][1], input_ids=[10**6])
        async with generating(speaker) as (_, queue):
            good, bad, other = await queue.submit([Ask(*asks[1]), Ask(asks[0][0], broken), Ask(*asks[3])])
        assert isinstance(bad, IndexError)
        assert [one.tolist() for one in (good, other) if isinstance(one, np.ndarray)] == [expected[1], expected[3]]

    run(main())


def test_a_row_that_nobody_waits_for_any_more_leaves(speaker: Backbone, asks: list[tuple[Artifact, Example]]) -> None:
    async def main() -> None:
        heard: list[int] = []
        async with generating(speaker, limit=100_000, room=100_000) as (generation, queue):
            long = replace(asks[0][0], head=GenerationHead(40_000))
            task = asyncio.create_task(queue.submit([Ask(long, asks[0][1], lambda said: heard.append(len(said)))]))
            await until(lambda: len(heard) > 3)
            task.cancel()
            await until(lambda: generation.going == 0)
            assert (await queue.submit([Ask(*asks[1])]))[0] is not None
        assert max(heard) < 60

    run(main())


def test_a_batch_does_not_wait_for_a_long_text(
    speaker: Backbone, asks: list[tuple[Artifact, Example]], make: Callable[..., Artifact]
) -> None:
    async def main() -> None:
        label = make(SENTIMENT, 1, backbone=speaker)
        (row,) = encode(speaker, SENTIMENT, Row("the film was very good"))
        speaking = threading.Event()
        work = Work(speaker)
        long = replace(asks[0][0], head=GenerationHead(45))
        said: list[int] = []

        def hear(tokens: Sequence[int]) -> None:
            said.append(len(tokens))
            speaking.set()

        listening = asyncio.create_task(work.listen((long, asks[0][1]), hear))
        await until(speaking.is_set)
        (answered,) = await work.submit([(label, row)])
        assert isinstance(answered, np.ndarray)
        before = said[-1]
        assert before < 45
        assert not listening.done()
        mixed = await work.submit([(label, row), asks[1], (label, row)])
        assert [type(one) for one in mixed] == [np.ndarray] * 3
        assert len(await listening) == 45  # pyright: ignore[reportArgumentType] - an array
        await work.close()

    run(main())


def test_the_pieces_of_a_stream_joined_are_the_answer(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        publish("story", make(STORY, 0, backbone=speaker))
        publish("sentiment", make(SENTIMENT, 0, backbone=speaker))
        registry.promote([Move("story:1"), Move("sentiment:1")], actor="ada")
        async with engine_of(speaker, registry) as engine:
            for text in TEXTS:
                asked = Input(prompt="story", text=text)
                (stream,) = await engine.streams([asked])
                pieces = [piece async for piece in stream]
                (whole,) = await engine.predict([asked])
                assert isinstance(whole.answer, Generated)
                assert "".join(pieces) == whole.answer.text
                assert len(pieces) > 3
                assert (stream.version, stream.answer) == (whole.version, whole.answer)
                assert stream.answer is not None
                assert (stream.answer.said, stream.answer.stopped) == (32, False)
                assert stream.answer.read == whole.answer.read == len(encode(speaker, STORY, Row(text))[0].input_ids)
            together = await asyncio.gather(*(engine.predict([Input(prompt="story", text=text)]) for text in TEXTS))
            assert [one.answer for (one,) in together] == [
                (await engine.predict([Input(prompt="story", text=text)]))[0].answer for text in TEXTS
            ]
            with pytest.raises(Invalid, match="row 0: sentiment:1 answers classification rows and says nothing"):
                await engine.streams([Input(prompt="sentiment", text="good")])

    run(main())


def test_a_stream_that_is_left_stops_speaking(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        publish("story", make(STORY, 0, backbone=speaker))
        registry.promote([Move("story:1")], actor="ada")
        async with engine_of(speaker, registry) as engine:
            (stream,) = await engine.streams([Input(prompt="story", text="the old bridge")])
            await anext(stream)
            assert engine.work.going == 1
            await stream.aclose()
            await until(lambda: engine.work.going == 0)

    run(main())


WORDS = st.lists(
    st.sampled_from(["yes", "no", " ", ".", "\n", "\n\n", "it is", "END", "EN", "Text:", "é", "."]), max_size=12
)
PROMPTS = st.sampled_from(
    [
        None,
        TextPrompt(("{text} {mask}",)),
        TextPrompt(("{text} so: {mask} END",)),
        TextPrompt(("{text} {mask}. it is",), demonstrations=(Demonstration("a", "yes"),)),
    ]
)


@given(words=WORDS, prompt=PROMPTS)
@settings(max_examples=200, deadline=None)
def test_what_is_settled_stays_in_the_answer(words: list[str], prompt: TextPrompt | None) -> None:
    task = Task("story", "generation", (), prompt)
    texts = ["".join(words[:count]) for count in range(len(words) + 1)]
    answer = extracted(task, texts[-1])
    told = ""
    for text in texts:
        known = settled(task, text)
        assert answer.startswith(known)
        assert known.startswith(told)
        told = known


def test_streams_of_one_request_are_of_one_snapshot(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        for seed in (0, 1):
            publish("story", make(STORY, seed, backbone=speaker))
        registry.promote([Move("story:1")], actor="ada")
        async with engine_of(speaker, registry) as engine:
            first, second = await engine.streams([Input(prompt="story", text=text) for text in TEXTS[:2]])
            said = [await anext(first)]
            registry.promote([Move("story:2")], actor="ada")
            await engine.follower.sync()
            said += [piece async for piece in first]
            assert "".join([piece async for piece in second])
            assert (first.version.number, second.version.number) == (1, 1)

    run(main())
