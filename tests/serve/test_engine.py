import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from methods import (
    Artifact,
    Backbone,
    Classified,
    Generated,
    LinearHead,
    Prefix,
    Row,
    SoftPrompt,
    Span,
    answer,
    encode,
    predict,
)
from methods.runtime.inputs import Sequence
from registry import Move, Registry, Version
from serve import errors
from serve.engine.engine import PromptEngine
from serve.schemas import Input

from .conftest import NAMES, QA, QUIZ, SAME, SENTIMENT, STORY, TOPIC, WORDED, Publish
from .engines import engine_of, numbers, run, until

CONTEXT = "the old bridge of the city was red and the mayor sold one tower in the night " * 6


@contextmanager
def counted(backbone: Backbone) -> Iterator[list[int]]:
    """The number of rows of every forward of the backbone."""
    sizes: list[int] = []
    forward = backbone._forward
    original = forward.run

    def run(sequence: Sequence, *rest: Any, **options: Any) -> Tensor:
        sizes.append(len(sequence.mask))
        return original(sequence, *rest, **options)

    forward.run = run
    yield sizes
    forward.run = original


@pytest.fixture
def everything(make: Callable[..., Artifact], publish: Publish, registry: Registry) -> dict[str, Version]:
    """Prompts of several kinds, forms and lengths; sentiment has two versions, the first in production."""
    versions = {
        "sentiment:1": publish("sentiment", make(SENTIMENT, 1, length=2)),
        "sentiment:2": publish("sentiment", make(SENTIMENT, 2, form="prefix", length=5)),
        "topic:1": publish("topic", make(TOPIC, 3, form="prefix", length=1)),
        "same:1": publish("same", make(SAME, 4, length=7)),
        "qa:1": publish("qa", make(QA, 5, length=4)),
        "plain:1": publish("plain", make(SENTIMENT, 6, form="none")),
        "names:1": publish("names", make(NAMES, 7, length=6)),
        "quiz:1": publish("quiz", make(QUIZ, 8, form="prefix", length=8)),
    }
    assert [version.reference for version in versions.values()] == list(versions)
    registry.promote([Move(name) for name in versions if name != "sentiment:2"], actor="ada")
    return versions


MIXED = [
    Input(prompt="sentiment", text="the film was very good"),
    Input(prompt="topic", text="the old city on the river in the night and the tower on the left of the bridge"),
    Input(prompt="sentiment:2", text="the film was very good"),
    Input(prompt="same", text="a red book", text_pair="the blue book is not red"),
    Input(prompt="plain", text="awful"),
    Input(prompt="qa", question="which bridge", context=CONTEXT),
    Input(prompt="sentiment", text="a very bad hotel and a dull phone"),
    Input(prompt="names", tokens=("the", "old", "bridge")),
    Input(prompt="quiz", text="the tower was", choices=("red", "very very quiet", "built in the night")),
]


def test_a_mixed_batch_answers_each_row_as_if_it_were_alone(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            alone = [(await engine.predict([one]))[0] for one in MIXED]
            for seed in range(5):
                order = random.Random(seed).choices(range(len(MIXED)), k=12)
                together = await engine.predict([MIXED[index] for index in order])
                for index, found in zip(order, together, strict=True):
                    assert found.version == alone[index].version
                    np.testing.assert_allclose(numbers(found), numbers(alone[index]), atol=1e-5)
        assert len({tuple(np.round(numbers(one), 4)) for one in alone}) == len(MIXED)  # no two rows answer alike

    run(main())


def test_the_engine_answers_what_methods_answers(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        artifact = Artifact.from_bytes(registry.fetch(everything["qa:1"]))
        row = Row("which bridge", CONTEXT)
        examples = encode(tiny, QA, row)
        assert len(examples) > 1  # the context is longer than the backbone reads
        expected = answer(tiny, artifact, row, examples, [predict(tiny, [(artifact, e)])[0] for e in examples])
        async with engine_of(tiny, registry) as engine:
            (found,) = await engine.predict([Input(prompt="qa", question=row.text, context=CONTEXT)])
        assert isinstance(expected, Span)
        assert isinstance(found.answer, Span)
        assert (found.answer.start, found.answer.end) == (expected.start, expected.end)
        assert CONTEXT[found.answer.start : found.answer.end] == found.answer.text
        assert found.answer.score == pytest.approx(expected.score, abs=1e-5)

    run(main())


def test_what_is_generated_does_not_depend_on_the_rows_beside_it(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        tasks = (STORY, WORDED, NAMES, QUIZ, SENTIMENT)
        for seed, task in enumerate(tasks):
            publish(task.name, make(task, seed, form=("soft-prompt", "prefix")[seed % 2], backbone=speaker))
        publish("story", make(STORY, 9, form="prefix", length=7, backbone=speaker))
        registry.promote([Move(f"{task.name}:1") for task in tasks], actor="ada")
        mixed = [
            *(Input(prompt=name, text="the old bridge") for name in ("story", "story:2", "worded", "sentiment")),
            Input(prompt="story", text="one night in the city", text_pair="the mayor"),
            *(one for one in MIXED if one.prompt in ("names", "quiz")),
        ]
        async with engine_of(speaker, registry) as engine:
            alone = [(await engine.predict([one]))[0] for one in mixed]
            together = await engine.predict(mixed)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-5)
        said = {one.answer.text for one in alone if isinstance(one.answer, Generated)}
        assert len(said) == 3

    run(main())


def test_a_decoder_keeps_the_keys_and_values_of_a_soft_prompt(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        soft = make(SENTIMENT, 1, length=5, backbone=speaker)
        vectors = soft.form
        assert isinstance(vectors, SoftPrompt)
        version = publish("sentiment", soft)
        inside = publish("inside", replace(soft, form=replace(vectors, placement="infix")))
        registry.promote([Move("sentiment:1"), Move("inside:1")], actor="ada")
        async with engine_of(speaker, registry) as engine:
            held, _ = await engine.bank.get(version.digest)
            kept, _ = await engine.bank.get(inside.digest)
            assert isinstance(held.form, Prefix)
            assert held.form.key_values.shape == (3, 2, 4, 5, 10)
            assert isinstance(kept.form, SoftPrompt)
            row = Row("the old bridge was red")
            (found,) = await engine.predict([Input(prompt="sentiment", text=row.text)])
        (example,) = encode(speaker, SENTIMENT, row)
        expected = answer(speaker, soft, row, [example], predict(speaker, [(soft, example)]))
        assert isinstance(expected, Classified)
        np.testing.assert_allclose(numbers(found), list(expected.scores.values()), atol=1e-5)

    run(main())


def test_a_row_as_a_vector_is_what_its_head_reads(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    """The head's weights times the vector are the logits that the row's probabilities are the softmax of."""

    async def main() -> None:
        asked = [one for one in MIXED if one.prompt in ("sentiment", "topic", "sentiment:2", "same", "plain")]
        async with engine_of(tiny, registry) as engine:
            answered = await engine.predict(asked)
            with counted(tiny) as sizes:
                embedded = await engine.embed(asked)
            assert sizes == [len(asked)]
            for one, other in zip(embedded, answered, strict=True):
                assert (one.version, one.epoch) == (other.version, other.epoch)
                head = (await engine.bank.get(one.version.digest))[0].head
                assert isinstance(head, LinearHead)
                logits = one.vector @ head.weight.numpy().T + head.bias.numpy()
                scores = np.exp(logits - logits.max())
                np.testing.assert_allclose(scores / scores.sum(), numbers(other), atol=1e-5)
            assert embedded[0].vector.shape == (tiny.hidden_size,)
            assert [one.tokens for one in embedded[:1]] == [7]  # [CLS] the film was very good [SEP]
            for refused in ("qa", "names", "quiz"):
                (row,) = [one for one in MIXED if one.prompt == refused]
                with pytest.raises(errors.Invalid, match=r"row 1: .* makes no vector of a text: its head is"):
                    await engine.embed([MIXED[0], row])

    run(main())


def test_tasks_versions_and_forms_share_one_forward(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        short = [one for one in MIXED if one.prompt != "qa"]
        async with engine_of(tiny, registry) as engine:
            await engine.predict(short)  # loads the pinned version
            with counted(tiny) as sizes:
                await engine.predict(short)
            assert sizes == [len(short) + 2]  # quiz has three choices

    run(main())


def test_a_version_that_comes_back_is_not_tried_again(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            for number, forwards in ((2, 1), (1, 0), (2, 0)):
                registry.promote([Move(f"sentiment:{number}")], actor="ada")
                with counted(tiny) as sizes:
                    await engine.follower.sync()
                assert len(sizes) == forwards
                (answered,) = await engine.predict([Input(prompt="sentiment", text="good")])
                assert answered.version.number == number

    run(main())


def test_requests_of_different_callers_share_a_forward(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            with counted(tiny) as sizes:
                await asyncio.gather(*(engine.predict([MIXED[index % 2]]) for index in range(40)))
            assert sum(sizes) == 40
            assert len(sizes) <= 20

    run(main())


def test_every_way_to_name_a_version_finds_it(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        registry.promote([Move("sentiment:2", "staging")], actor="ada")
        digest = everything["sentiment:2"].digest
        names = ["sentiment@staging", "sentiment:2", f"sentiment@{digest}", f"sentiment@{digest[:15]}"]
        async with engine_of(tiny, registry) as engine:
            found = await engine.predict([Input(prompt=name, text="good") for name in [*names, "sentiment"]])
        assert [one.version.reference for one in found] == ["sentiment:2"] * 4 + ["sentiment:1"]
        np.testing.assert_allclose([numbers(one) for one in found[:4]], [numbers(found[0])] * 4, atol=1e-5)

    run(main())


@pytest.mark.parametrize(
    ("prompt", "kind", "message", "hint"),
    [
        ("sentimemt", errors.NotFound, "unknown prompt 'sentimemt'", "did you mean sentiment?"),
        ("sentiment@staging", errors.NotFound, "prompt 'sentiment' has no staging version yet", "production"),
        ("sentiment:9", errors.NotFound, "prompt 'sentiment' has no version 9", ""),
        ("sentiment@sha256:00000000", errors.NotFound, "has no version sha256:00000000", ""),
        ("Not A Reference", errors.Invalid, "prompt is not a reference", "NAME@ALIAS"),
        ("shared/common", errors.Invalid, "is a shared prompt", "a task's own prompt"),
        ("shared/common:1", errors.Invalid, "is a shared prompt", "a task's own prompt"),
        (
            "qa",
            errors.Invalid,
            "prompt 'qa' answers span-qa rows, which have question and context; this one has text",
            "",
        ),
    ],
)
def test_a_wrong_row_is_named_and_says_what_to_do(
    tiny: Backbone,
    registry: Registry,
    everything: dict[str, Version],
    prompt: str,
    kind: type[errors.ServeError],
    message: str,
    hint: str,
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            with counted(tiny) as sizes, pytest.raises(kind) as raised:
                await engine.predict([MIXED[0], MIXED[1], Input(prompt=prompt, text="good")])
        assert str(raised.value).startswith("row 2: ")
        assert message in str(raised.value)
        assert hint in raised.value.hint + str(raised.value)
        assert sizes == []

    run(main())


def test_an_empty_text_is_refused_by_its_row(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            with pytest.raises(errors.Invalid, match="row 1: a row of task 'topic' has an empty text"):
                await engine.predict([MIXED[0], Input(prompt="topic", text="  ")])

    run(main())


def test_a_shared_prompt_with_an_alias_is_left_alone(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        publish("shared/common", make(None))
        registry.promote([Move("shared/common:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            assert engine.follower.snapshot.epoch == 1
            assert (engine.follower.snapshot.served, engine.follower.snapshot.refused) == ({}, ())

    run(main())


def test_one_load_serves_all_who_ask_at_once(
    tiny: Backbone, registry: Registry, everything: dict[str, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            fetched: list[str] = []
            fetch = registry.fetch_digest
            monkeypatch.setattr(registry, "fetch_digest", lambda digest: fetched.append(digest) or fetch(digest))
            found = await asyncio.gather(*(engine.predict([MIXED[2]]) for _ in range(20)))
            assert {one[0].version.reference for one in found} == {"sentiment:2"}
            assert fetched == [everything["sentiment:2"].digest]

    run(main())


def test_a_row_that_waits_too_long_is_named_and_given_up(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    async def main() -> None:
        engine = PromptEngine(tiny, registry, deadline_s=0.1)
        await engine.follower.start()
        held = threading.Event()
        blocking = asyncio.create_task(engine.work.alone(lambda: held.wait(2)))
        try:
            with pytest.raises(errors.TimedOut, match=r"row \d+: it has waited for 0\.1 s and was not run"):
                await engine.predict([MIXED[0]] * 250)
            await until(lambda: engine.waiting_tokens == 0)
        finally:
            held.set()
            await blocking
            await engine.close()

    run(main())


def test_artifacts_leave_the_bank_when_their_bytes_are_needed(
    tiny: Backbone, registry: Registry, everything: dict[str, Version]
) -> None:
    from serve.engine.bank import Bank

    async def main() -> None:
        digests = [everything[name].digest for name in ("sentiment:1", "plain:1", "same:1")]
        sizes = [Artifact.from_bytes(registry.fetch_digest(digest)).nbytes for digest in digests]
        bank = Bank(registry, tiny, max_bytes=sizes[0] + sizes[2])
        first, _ = await bank.get(digests[0])
        await bank.get(digests[1])
        assert bank.nbytes == sizes[0] + sizes[1]
        assert (await bank.get(digests[0]))[0] is first
        await bank.get(digests[2])  # the least recently used leaves, the other one stays
        assert bank.nbytes == sizes[0] + sizes[2]
        assert (await bank.get(digests[0]))[0] is first

    run(main())
