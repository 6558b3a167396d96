"""Rows that go on together say what they say alone, whatever joins and leaves beside them."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods import Artifact, Backbone, Card, Example, Form, GenerationHead, Prefix, SoftPrompt, Stack, Task, predict
from methods.heads import ReasoningHead
from methods.rows.encoding import encode
from methods.rows.task import Row
from methods.speaking import Speakers, Speech
from tests.backbones import tiny

FAMILIES = ("gpt2", "llama", "qwen3", "t5", "bart")
TEXTS = (
    "the old bridge",
    "a red book and a blue book on the left of the old tower",
    "not",
    "which film was good",
    "the mayor of the city sold one bridge in the night and built two",
    "cold train",
)
STORY = Task("story", "generation")


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny(request.param, tmp_path_factory.mktemp(request.param))))


def items(backbone: Backbone) -> list[tuple[Artifact, Example]]:
    """One of each form, with limits of their own; the last one thinks first."""
    generator = torch.Generator().manual_seed(0)

    def prefix(length: int, layers: tuple[int, ...], place: str, *, shifts: bool = False) -> Prefix:
        own = backbone.layout(place)  # pyright: ignore[reportArgumentType] - a place by name
        shape = (len(layers), 2, own.heads, length, own.head_dim)
        return Prefix(torch.randn(shape, generator=generator), layers, place, shifts)  # pyright: ignore[reportArgumentType] - a place by name

    soft = SoftPrompt(torch.randn(5, backbone.embedding_size, generator=generator))
    speaks = "decoder"
    forms: list[Form] = [
        soft,
        prefix(4, (0, 1), speaks),
        None,
        Stack((soft, prefix(2, (1,), speaks))),
        prefix(3, (0,), speaks, shifts=True),
        prefix(6, (0, 1), "cross" if backbone.architecture == "encoder-decoder" else speaks),
    ]
    heads = [GenerationHead(7), GenerationHead(3), GenerationHead(9), GenerationHead(1), GenerationHead(6)]
    heads.append(ReasoningHead(4, trigger=(7, 8), answer_limit=5))
    card = Card("story", STORY, "prompt-tuning", {}, backbone.fingerprint)
    return [
        (Artifact(card, form, head), encode(backbone, STORY, Row(text), form)[0])
        for form, head, text in zip(forms, heads, TEXTS, strict=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_row_says_the_same_whatever_joins_and_leaves(backbone: Backbone, seed: int) -> None:
    several = items(backbone)
    expected = [predict(backbone, [item])[0].tolist() for item in several]
    draw = random.Random(seed)
    coming = draw.sample(range(len(several)), len(several)) + draw.choices(range(len(several)), k=4)
    leaving = draw.randrange(len(coming))
    groups: list[Speakers] = []
    going: dict[Speech, int] = {}
    said: list[tuple[int, list[int]]] = []
    joined = 0
    while coming or going:
        new = {Speech.begun(*several[index]): index for index in coming[: draw.choice((0, 1, 3))]}
        coming = coming[len(new) :]
        for thoughts in [one for one in going if one.over and not one.answers]:
            new[thoughts.answer(backbone)] = going.pop(thoughts)
        if new:
            begun = Speakers(backbone, list(new))
            going |= new
            if any(group.join(begun) for group in groups):
                joined += 1
            else:
                groups.append(begun)
        for group in groups:
            group.step()
        for speech in [one for one in going if one.over and one.answers]:
            said.append((going.pop(speech), speech.said))
        if len(said) == 2 and going and leaving:
            gone = next(iter(going))
            gone.over, leaving = True, 0
            del going[gone]
    assert joined > 0
    assert len(said) >= 9
    assert all(tokens == expected[index] for index, tokens in said)
    assert len({tuple(tokens) for tokens in expected}) >= 5


def test_a_speech_that_ends_by_itself_ends_there(tmp_path: Path) -> None:
    """The end token is what the row would say third; its two first tokens are the answer."""
    backbone = Backbone.load(str(tiny("gpt2", tmp_path)))
    artifact, example = items(backbone)[0]
    whole = predict(backbone, [(artifact, example)])[0].tolist()
    third = next(place for place in range(2, len(whole)) if whole[place] not in whole[:place])
    backbone.tokenizer.eos_token_id = whole[third]
    speech = Speech.begun(artifact, example)
    speakers = Speakers(backbone, [speech, Speech.begun(replace(artifact, form=None), example)])
    for _ in range(7):
        speakers.step()
    assert speech.said == whole[:third]
    assert speech.over
