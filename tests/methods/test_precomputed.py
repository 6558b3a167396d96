"""A decoder's soft prompt as keys and values: the same states, positions and words as beside its vectors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods import Backbone, InvalidSetting, Prefix, SoftPrompt
from methods.forms import Form, Stack
from methods.rows.collation import collate
from methods.rows.encoding import encode
from methods.rows.task import Row, Task
from methods.runtime.bank import Bank
from methods.runtime.decoding import generate
from methods.runtime.precomputed import causal, exact, leads, precomputed
from tests.backbones import tiny

TASK = Task("t", "generation")
TEXTS = ("the old bridge", "a red book and a blue book on the left of the old tower", "not", "which film was good")


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen3"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny(request.param, tmp_path_factory.mktemp(request.param))))


@pytest.mark.parametrize("shifts", [False, True])
def test_texts_have_the_same_states_and_go_on_in_the_same_words(backbone: Backbone, shifts: bool) -> None:
    """Mixed with rows of other forms and lengths, in both geometries; positions of text are 0..T-1, or P..P+T-1."""
    generator = torch.Generator().manual_seed(1)
    prompts = [
        SoftPrompt(torch.randn(length, backbone.embedding_size, generator=generator), "first", shifts)
        for length in (2, 5, 1)
    ]
    made = [precomputed(backbone, prompt) for prompt in prompts]
    layout = backbone.layout("decoder")
    assert [tuple(one.key_values.shape) for one in made] == [
        (layout.layers, 2, layout.heads, length, layout.head_dim) for length in (2, 5, 1)
    ]
    batch = collate(backbone, [encode(backbone, TASK, Row(text))[0] for text in TEXTS])
    rows = torch.arange(4)
    before, after = (Bank.of([*forms, None]).rows(rows) for forms in (prompts, made))
    with torch.no_grad():
        given, found = backbone.states(batch, before), backbone.states(batch, after)
        bare = backbone.states(batch)
    real = batch.attention_mask.bool()
    torch.testing.assert_close(found.text[real], given.text[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.closing, given.closing, atol=1e-5, rtol=1e-5)
    assert (found.text - bare.text)[:3][real[:3]].abs().max() > 1e-2
    assert generate(backbone, batch, after, 9) == generate(backbone, batch, before, 9)


def test_a_prompt_with_text_before_it_stays_as_it_is(backbone: Backbone) -> None:
    soft = SoftPrompt(torch.zeros(2, backbone.embedding_size))
    opened = backbone.opens > 0  # Llama's texts begin with <s>
    assert leads(backbone, soft) == (not opened)
    others: list[Form] = [
        replace(soft, placement="before-last"),
        replace(soft, placement="infix"),
        Stack((soft, soft)),
        None,
    ]
    assert not any(leads(backbone, form) for form in others)
    with pytest.raises(InvalidSetting, match="placed before-last has text before it"):
        precomputed(backbone, replace(soft, placement="before-last"))


def test_a_backbone_is_asked_once_whether_it_is_exact(backbone: Backbone) -> None:
    assert exact(backbone)


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_in_a_bidirectional_backbone_it_would_be_wrong_and_is_refused(name: str, tmp_path: Path) -> None:
    backbone = Backbone.load(str(tiny(name, tmp_path)))
    assert not causal(backbone)
    assert not exact(backbone)
    with pytest.raises(InvalidSetting, match="a virtual token depends on the text beside it"):
        precomputed(backbone, SoftPrompt(torch.zeros(2, backbone.embedding_size), "first"))


def test_a_window_that_text_falls_out_of_is_no_place_for_it(tmp_path: Path) -> None:
    backbone = Backbone.load(str(tiny("qwen3", tmp_path)))
    config = backbone.model.config
    assert causal(backbone)
    config.layer_types = ["full_attention", "sliding_attention", "full_attention"]
    assert not causal(backbone)


def test_vectors_that_stand_there_are_those_that_are_read(backbone: Backbone) -> None:
    """The prefix of the embeddings of words is what the backbone makes of those words at their positions."""
    ids = torch.tensor([5, 9, 7])
    words = SoftPrompt(backbone.embed(ids).detach(), "first", shifts=True)
    own = backbone.keys_and_values(ids, "decoder")
    made = precomputed(backbone, words)
    assert isinstance(made, Prefix)
    torch.testing.assert_close(made.key_values, own, atol=1e-5, rtol=1e-5)
