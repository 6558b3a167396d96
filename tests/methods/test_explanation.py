"""What virtual tokens are near, how alike prompts are, how far apart artifacts are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from methods import (
    Artifact,
    Backbone,
    Card,
    InvalidSetting,
    LinearHead,
    Prefix,
    SoftPrompt,
    Stack,
    Task,
    method,
)
from methods.difference import distances, shapes
from methods.explanation import explained, ranks
from methods.likeness import similarities
from methods.types import Place
from tests.backbones import tiny as saved

WORDS = ("film", "bridge", "the", "night")


def ids(backbone: Backbone) -> torch.Tensor:
    return torch.tensor(backbone.tokenizer.convert_tokens_to_ids(list(WORDS)))


def alone(backbone: Backbone, place: Place, layers: tuple[int, ...]) -> Prefix:
    """The prefix of words that are each read by themselves."""
    each = [backbone.keys_and_values(one[None], place) for one in ids(backbone)]
    return Prefix(torch.cat(each, dim=3)[list(layers)], layers, place)


def first(found: list) -> list[str]:
    return [token.nearest[0].token for token in found[0].tokens]


def test_a_prompt_that_was_not_trained_is_near_the_words_that_it_started_from(tiny: Backbone) -> None:
    (form,) = (
        method("prompt-tuning", {"length": 2, "init": "label-words"})
        .build(tiny, [Task("t", "classification", ("bad", "great"))], torch.Generator())
        .forms()
    )
    (found,) = explained(tiny, form)
    assert first([found]) == ["bad", "great"]
    assert [token.nearest[0].cosine for token in found.tokens] == pytest.approx([1, 1], abs=1e-6)
    assert [len(token.nearest) for token in found.tokens] == [5, 5]
    assert [token.index for token in found.tokens] == [1, 2]
    assert "after-first" in found.part


def test_cosines_and_norms_are_those_of_the_table(tiny: Backbone) -> None:
    table = tiny.embed(torch.arange(len(tiny.tokenizer.get_vocab())))
    vector = torch.randn(1, 40, generator=torch.Generator().manual_seed(5))
    (found,) = explained(tiny, SoftPrompt(vector), 3)
    cosines = (table @ vector[0]) / table.norm(dim=1).clamp(min=1e-9) / vector.norm()  # [PAD] is all zeros
    best = cosines.sort(descending=True)
    (token,) = found.tokens
    assert [one.token for one in token.nearest] == tiny.tokenizer.convert_ids_to_tokens(best.indices[:3].tolist())
    assert [one.cosine for one in token.nearest] == pytest.approx(best.values[:3].tolist(), abs=1e-6)
    assert token.norm == pytest.approx(float(vector.norm()))
    assert found.vocabulary_norm == pytest.approx(float(table.norm(dim=1).median()))


def test_more_neighbours_than_there_are_words_are_all_of_them(tiny: Backbone) -> None:
    (found,) = explained(tiny, SoftPrompt(torch.ones(1, 40)), 10_000)
    assert len(found.tokens[0].nearest) == len(tiny.tokenizer.get_vocab())


@pytest.mark.parametrize(
    ("family", "place"),
    [
        ("bert", "encoder"),
        ("albert", "encoder"),
        ("modernbert", "encoder"),
        ("gpt2", "decoder"),
        ("llama", "decoder"),
        ("t5", "encoder"),
        ("t5", "decoder"),
        ("bart", "cross"),
    ],
)
def test_a_prefix_of_single_words_is_near_those_words(family: str, place: Place, tmp_path: Path) -> None:
    backbone = Backbone.load(str(saved(family, tmp_path)))
    (found,) = explained(backbone, alone(backbone, place, (1,)))
    assert first([found]) == list(WORDS)
    assert [token.nearest[0].cosine for token in found.tokens] == pytest.approx([1] * 4, abs=1e-5)
    assert f"{place} layer 1" in found.beside


def test_of_a_prefix_the_lowest_layer_is_read_and_none_above_it_is_run(tiny: Backbone) -> None:
    form = alone(tiny, "encoder", (1, 2))
    encoder: Any = tiny.model.encoder
    seen: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, index=index: seen.append(index))
        for index, layer in enumerate(encoder.layer)
    ]
    (found,) = explained(tiny, form)
    for hook in hooks:
        hook.remove()
    assert seen == [0, 1]
    assert first([found]) == list(WORDS)
    norm = form.key_values[0, 0].transpose(0, 1).flatten(1).norm(dim=1)
    assert [token.norm for token in found.tokens] == pytest.approx(norm.tolist())


def test_explaining_leaves_the_backbone_as_it_was(tiny: Backbone) -> None:
    before = tiny.keys_and_values(ids(tiny))
    explained(tiny, alone(tiny, "encoder", (0,)))
    assert torch.equal(tiny.keys_and_values(ids(tiny)), before)


def test_every_part_of_a_stack_is_explained(tiny: Backbone) -> None:
    form = Stack((alone(tiny, "encoder", (0, 2)), SoftPrompt(tiny.embed(ids(tiny)), "first")))
    prefix, soft = explained(tiny, form, 1)
    assert first([prefix]) == first([soft]) == list(WORDS)
    assert ("prefix" in prefix.part, "input embeddings" in soft.beside) == (True, True)


def test_a_vector_of_zeros_is_near_nothing(tiny: Backbone) -> None:
    (found,) = explained(tiny, SoftPrompt(torch.zeros(1, 40)))
    assert (found.tokens[0].norm, found.tokens[0].nearest[0].cosine) == (0, 0)


def test_what_has_no_virtual_token_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InvalidSetting, match="no virtual tokens"):
        explained(tiny, None)


def test_factors_by_hand() -> None:
    """u: sqrt(((1.3 - 1)^2 + (0.6 - 1)^2) / 2) = sqrt(0.125); the second rank from zero: sqrt((9 + 16) / 2)."""
    u = torch.tensor([[1.3, 3.0], [0.6, -4.0]])
    v = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 3.0]])
    first, second = ranks({"u": u, "v": v})
    assert (first.rank, first.u, first.v) == (1, pytest.approx(0.125**0.5), 0)
    assert (second.rank, second.u, second.v) == (2, pytest.approx(12.5**0.5), pytest.approx(3**0.5))
    assert ranks({}) == []


def test_similarity_is_the_cosine_of_all_numbers_of_a_prompt() -> None:
    """[3, 4] and [4, 3]: 24 / 25. [3, 4] and [-3, -4]: -1. Zeros are like nothing."""
    forms = [SoftPrompt(torch.tensor([[x], [y]])) for x, y in ((3.0, 4.0), (4.0, 3.0), (-3.0, -4.0), (0.0, 0.0))]
    expected = [[1, 0.96, -1, 0], [0.96, 1, -0.96, 0], [-1, -0.96, 1, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(similarities(forms), torch.tensor(expected).double())


def artifact(backbone: Backbone, form: SoftPrompt | Prefix | Stack | None, head: float = 0.0) -> Artifact:
    task = Task("mood", "classification", ("bad", "good"))
    own = LinearHead(torch.full((2, 40), head), torch.zeros(2))
    return Artifact(Card("mood", task, "mpt", {}, backbone.fingerprint), form, own)


def test_distances_by_hand(tiny: Backbone) -> None:
    """From [3, 4] to [0, 8]: sqrt(9 + 16) = 5, that is 5 / 5 of its length; cosine 32 / (5 * 8) = 0.8."""
    one, other = (artifact(tiny, SoftPrompt(torch.tensor([[x], [y]]))) for x, y in ((3.0, 4.0), (0.0, 8.0)))
    (found,) = distances(one, other)
    assert (found.tensor, found.layer, found.l2, found.relative) == ("soft prompt", None, 5.0, 1.0)
    assert found.cosine == pytest.approx(0.8)
    assert distances(one, one) == []


def test_a_prefix_has_a_distance_per_layer_that_differs(tiny: Backbone) -> None:
    """Each of 2 * 4 * 5 * 10 = 400 numbers of layer 2 goes from 1 to 2: 20, of 20 there and of sqrt(800) in all."""
    ours = torch.ones(2, 2, 4, 5, 10)
    theirs = ours.clone()
    theirs[1] = 2
    found = distances(artifact(tiny, Prefix(ours, (0, 2))), artifact(tiny, Prefix(theirs, (0, 2))))
    assert [(one.tensor, one.layer, one.l2) for one in found] == [
        ("encoder prefix", None, 20.0),
        ("encoder prefix", 2, 20.0),
    ]
    assert [one.relative for one in found] == [pytest.approx(20 / 800**0.5), 1.0]
    assert [one.cosine for one in found] == [pytest.approx(1200 / (800 * 2000) ** 0.5), pytest.approx(1)]


def test_heads_and_factors_are_compared_where_their_shapes_agree(tiny: Backbone) -> None:
    """From 0 to 0.5 in 2 * 40 places: sqrt(20), of no length."""
    one = replace(artifact(tiny, None), factors={"u": torch.ones(5, 1)})
    other = replace(artifact(tiny, None, 0.5), factors={"u": torch.ones(5, 2)})
    (found,) = distances(one, other)
    assert found.l2 == pytest.approx(20**0.5)
    assert (found.tensor, found.layer, found.relative, found.cosine) == ("head.weight", None, None, None)
    assert (shapes(one)["factors"], shapes(other)["factors"]) == ({"u": [5, 1]}, {"u": [5, 2]})


def test_prompts_of_other_geometries_have_no_distance_but_a_description(tiny: Backbone) -> None:
    one, other = (
        artifact(tiny, form) for form in (SoftPrompt(torch.ones(5, 40)), Prefix(torch.ones(1, 2, 4, 5, 10), (1,)))
    )
    assert distances(one, other) == []
    assert shapes(one)["prompt"] == "a soft prompt of length 5 and width 40, placed after-first"
    assert shapes(other)["prompt"] == "a prefix of length 5 in encoder layers 1 of 4 heads of 10"
    assert shapes(artifact(tiny, None))["prompt"] == "no prompt at all"
