"""A row's prefix out of a pool: equal to the formulas, for each row by itself, in a file and on a backbone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from methods import (
    Artifact,
    Backbone,
    Card,
    CorruptArtifact,
    Fingerprint,
    InvalidSetting,
    Prefix,
    Row,
    SoftPrompt,
    Stack,
    Task,
    encode,
    positions_taken,
)
from methods.forms import Form, PromptPool
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from methods.runtime.pool import block, prefixes, weights
from methods.runtime.reading import prompted, queries
from methods.types import Batch

TASK = Task("mood", "classification", ("bad", "good"))
TEXTS = ["the film was very good", "a dull book", "who sold the old tower in the city on the river", "bad"]
PRINT = Fingerprint("small", "c" * 64, "a" * 64, "t" * 64)


def drawn(
    seed: int, layers: tuple[int, ...] = (1, 2), blocks: tuple[int, ...] = (5, 2), length: int = 3, **more: Any
) -> PromptPool:
    """A pool for 4 heads of 10 and H = 40, whose weights go both ways."""
    generator = torch.Generator().manual_seed(seed)
    several, components = len(layers), sum(blocks)
    keys, attentions = (torch.randn(several, components, 40, generator=generator) for _ in range(2))
    size = (several, 2, components, 4, length, 10)
    return PromptPool(keys, attentions, torch.randn(size, generator=generator), layers, blocks, **more)


def plain(seed: int, layers: tuple[int, ...] = (0, 1), length: int = 4) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    return Prefix(3 * torch.randn(len(layers), 2, 4, length, 10, generator=generator), layers)


def naive(pool: PromptPool, query: Tensor) -> Tensor:
    """Section 4.1 of the paper as it stands there, with the tensor [B, M, H]; [B, L, 2, N, P, D]."""
    found = []
    for keys, attentions, components in zip(pool.keys, pool.attentions, pool.components, strict=True):
        seen = query[:, None] * attentions[None]
        near = (functional.normalize(seen, dim=2) * functional.normalize(keys, dim=1)[None]).sum(2)
        found.append(sum(near[:, k, None, None, None, None] * components[None, :, k] for k in range(near.shape[1])))
    return torch.stack(found, dim=1)


def batch_of(backbone: Backbone, texts: Sequence[str]) -> Batch:
    return collate(backbone, [encode(backbone, TASK, Row(text))[0] for text in texts])


def asked(backbone: Backbone, texts: Sequence[str], forms: Sequence[Form], query: Tensor | None = None) -> list[Tensor]:
    """The states of each text [T, H] through the form that stands at its place."""
    batch, several = batch_of(backbone, texts), list({id(form): form for form in forms}.values())
    owner = torch.tensor([next(k for k, one in enumerate(several) if one is form) for form in forms])
    with torch.no_grad():
        prompts = prompted(backbone, batch, Bank.of(several), owner, query)
        return [
            row[mask.bool()] for row, mask in zip(backbone.hidden(batch, prompts), batch.attention_mask, strict=True)
        ]


def by_hand(keys: list[list[float]], attentions: list[list[float]], components: list[float], top: int) -> PromptPool:
    """One layer, one head, one dimension, one position; a component's value is ten times its key."""
    both = torch.tensor([components, [10 * one for one in components]])[None, :, :, None, None, None]
    seen = torch.tensor([keys, attentions], dtype=torch.float)[:, None]
    return PromptPool(seen[0], seen[1], both.float(), (0,), (len(keys),), top=top)


@pytest.mark.parametrize("seed", range(3))
def test_weights_and_prefixes_are_the_papers(seed: int) -> None:
    pool = drawn(seed)
    query = functional.normalize(torch.randn(6, 40, generator=torch.Generator().manual_seed(seed + 9)), dim=1)
    torch.testing.assert_close(prefixes(pool, query), naive(pool, query), atol=1e-6, rtol=0)
    ones = replace(pool, components=torch.eye(7).expand(2, 2, 4, 3, 7, 7).permute(0, 1, 4, 2, 3, 5))
    near = naive(ones, query)[:, :, 0, 0, 0]  # component k is the k-th unit vector, so the prefix is the weights
    torch.testing.assert_close(weights(pool, query), near, atol=1e-6, rtol=0)
    assert near.min() < -0.1 < 0.1 < near.max() <= 1


def test_a_prefix_by_hand() -> None:
    """q = (3, 2). A_1 = (1, 2): (3, 4) of norm 5, key (2, 0): 3 / 5. A_2 = (4, 8): (12, 16) of norm 20, key (0, -3):
    -16 / 20. Components 10 and 5: 0.6 * 10 - 0.8 * 5 = 2 as key, ten times that as value.
    """
    pool = by_hand([[2, 0], [0, -3]], [[1, 2], [4, 8]], [10, 5], 0)
    query = torch.tensor([[3.0, 2.0]])
    torch.testing.assert_close(weights(pool, query), torch.tensor([[[0.6, -0.8]]]))
    torch.testing.assert_close(prefixes(pool, query).flatten(), torch.tensor([2.0, 20.0]))


def test_the_nearest_components_stand_one_after_the_other() -> None:
    """Cosines of q = (3, 4) and the axes: 0.6, 0.8, -0.6. Of (-4, 3): -0.8, 0.6, 0.8. Chosen whole, unweighted."""
    pool = by_hand([[1, 0], [0, 1], [-1, 0]], [[1, 1]] * 3, [7, 8, 9], 2)
    found = prefixes(pool, torch.tensor([[3.0, 4.0], [-4.0, 3.0]]))
    assert found.shape == (2, 1, 2, 1, 2, 1)
    assert found[:, 0, :, 0, :, 0].tolist() == [[[8, 7], [80, 70]], [[9, 8], [90, 80]]]


def test_each_layer_chooses_by_its_own_keys() -> None:
    pool = drawn(4, top=2)
    query = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    found = prefixes(pool, query)
    assert found.shape == (5, 2, 2, 4, 2 * 3, 10)
    for row, near in enumerate(weights(pool, query)):
        for layer, order in enumerate(near.argsort(dim=1, descending=True)[:, :2].tolist()):
            picked = torch.cat([pool.components[layer, :, k] for k in order], dim=2)
            assert torch.equal(found[row, layer], picked)


def test_a_query_of_nothing_weighs_nothing() -> None:
    assert weights(drawn(1), torch.zeros(1, 40)).abs().max() == 0


def test_a_block_alone_is_what_it_was() -> None:
    """Components of blocks of 5 and 2 add up to those of the pool."""
    pool, query = drawn(1), torch.randn(2, 40)
    first, second = block(pool, 0), block(pool, 1)
    assert (first.blocks, second.blocks) == ((5,), (2,))
    torch.testing.assert_close(
        prefixes(first, query) + prefixes(second, query), prefixes(pool, query), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("top", [0, 2])
def test_a_pool_is_each_rows_own_prefix(backbone_of: Callable[[str], Backbone], name: str, top: int) -> None:
    backbone = backbone_of("t5-lm" if name == "t5" else name)
    own = backbone.layout(backbone.place)
    pool = drawn(2, place=backbone.place, top=top)
    if own.head_dim != 10:
        pool = replace(pool, components=torch.randn(2, 2, 7, own.heads, 3, own.head_dim))
    rows = prefixes(pool, queries(backbone, batch_of(backbone, TEXTS)))
    given = [Prefix(row, pool.layers, backbone.place) for row in rows]
    bare = asked(backbone, TEXTS, [None] * 4)
    for mine, other, nothing in zip(
        asked(backbone, TEXTS, [pool] * 4), asked(backbone, TEXTS, given), bare, strict=True
    ):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=0)
        assert (mine - nothing).abs().max() > 1e-2


def test_the_query_is_the_pooled_text_without_any_prompt(tiny: Backbone) -> None:
    """The masked mean of the last states, of norm 1."""
    batch = batch_of(tiny, TEXTS)
    for row, (states, mask) in enumerate(zip(tiny.hidden(batch), batch.attention_mask, strict=True)):
        mean = states[mask.bool()].mean(0)
        torch.testing.assert_close(queries(tiny, batch)[row], mean / mean.norm(), atol=1e-6, rtol=0)


def test_a_known_query_takes_no_other_pass(tiny: Backbone) -> None:
    """Queries of nothing give prefixes of zeros, whatever the text would ask."""
    zeros = Prefix(torch.zeros(2, 2, 4, 3, 10), (1, 2))
    mine = asked(tiny, TEXTS, [drawn(1)] * 4, torch.zeros(4, 40))
    torch.testing.assert_close(mine, asked(tiny, TEXTS, [zeros] * 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_row_does_not_depend_on_its_neighbours(backbone_of: Callable[[str], Backbone], name: str) -> None:
    backbone = backbone_of(name)

    def at(one: PromptPool | Prefix) -> PromptPool | Prefix:
        return replace(one, place=backbone.place)

    stack = Stack((at(plain(5, (0,), 2)), at(drawn(6, (1, 2), (1, 1, 1), top=1))))
    forms: list[Form] = [
        at(drawn(1)),
        SoftPrompt(torch.randn(3, 40)),
        None,
        at(drawn(2, (0,), (4,), length=2)),
        at(plain(3)),
        at(drawn(1)),
        stack,
        at(drawn(4, top=2)),
    ]
    texts = [*TEXTS, *TEXTS[::-1]]
    together = asked(backbone, texts, forms)
    for text, form, mine in zip(texts, forms, together, strict=True):
        torch.testing.assert_close(mine, asked(backbone, [text], [form])[0], atol=1e-5, rtol=0)


def test_other_layers_get_nothing(tiny: Backbone) -> None:
    """What comes out below the pool's lowest layer is the bare backbone's."""
    batch = batch_of(tiny, TEXTS)
    prompts = prompted(tiny, batch, Bank.of([drawn(1, (1,))]), torch.zeros(4, dtype=torch.long))
    assert set(prompts.prefix) == {("encoder", 1)}
    mine, bare = tiny.states(batch, prompts, lower=[1, 2]), tiny.states(batch, lower=[1, 2])
    real = batch.attention_mask.bool()
    torch.testing.assert_close(mine.lower[1][real], bare.lower[1][real], atol=1e-6, rtol=0)
    assert (mine.lower[2][real] - bare.lower[2][real]).abs().max() > 1e-2


def test_a_pool_takes_no_positions_of_the_text() -> None:
    assert positions_taken(drawn(1), "encoder") == 0


def artifact(pool: PromptPool) -> Artifact:
    return Artifact(Card("mood", None, "coda", {}, PRINT), Stack((plain(1), pool)))


def test_a_pool_survives_its_file() -> None:
    stored = artifact(drawn(1, place="decoder", top=2)).to_bytes()
    again = Artifact.from_bytes(stored)
    assert again.to_bytes() == stored
    assert isinstance(again.form, Stack)
    pool, expected = again.form.parts[1], drawn(1, place="decoder", top=2)
    assert isinstance(pool, PromptPool)
    assert (pool.layers, pool.blocks, pool.place, pool.top) == ((1, 2), (5, 2), "decoder", 2)
    for name in ("keys", "attentions", "components"):
        assert torch.equal(getattr(pool, name), getattr(expected, name))


@pytest.mark.parametrize(
    "change", [{"blocks": (5, 1)}, {"blocks": ()}, {"components": torch.zeros(2, 2, 7, 4, 30)}], ids=str
)
def test_a_pool_whose_shapes_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CorruptArtifact, match="a pool of shape"):
        Artifact.from_bytes(artifact(replace(drawn(1), **change)).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"keys": torch.zeros(2, 7, 41)},
        {"keys": torch.zeros(2, 6, 40)},
        {"attentions": torch.zeros(1, 7, 40)},
        {"components": torch.zeros(2, 2, 7, 5, 3, 10)},
        {"components": torch.zeros(2, 2, 7, 4, 3, 9)},
        {"components": torch.zeros(2, 1, 7, 4, 3, 10)},
        {"components": torch.zeros(2, 2, 7, 4, 30)},
        {"layers": (1, 3)},
        {"layers": (0, 1, 2)},
        {"blocks": (5, 3)},
        {"top": 8},
        {"top": -1},
    ],
    ids=lambda change: "-".join(f"{key}" for key in change),
)
def test_a_backbone_refuses_a_pool_of_other_sizes(tiny: Backbone, change: dict[str, Any]) -> None:
    tiny.check_form(drawn(1))
    with pytest.raises(
        InvalidSetting, match=r"a pool of shape .* does not fit 3 encoder layers of 4 heads of 10, H 40"
    ):
        tiny.check_form(replace(drawn(1), **change))
