"""A batch without its padding says what the padded one says, on every architecture that can do it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from methods import Backbone, Bank, Prefix, SoftPrompt, Stack
from methods.rows.batches import micro_batches
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.runtime.forward import Forward
from methods.runtime.packing import Packing
from methods.types import Batch
from tests.backbones import FAMILIES, tiny

PACKS = ("bert", "roberta", "distilbert", "albert", "electra", "modernbert", "gpt2", "llama", "qwen3")
LENGTHS = (3, 40, 9, 27)  # on both sides of ModernBERT's window of 16


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    return {name: Backbone.load(str(tiny(name, tmp_path_factory.mktemp(name)))) for name in FAMILIES}


@contextmanager
def lines_counted(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tokens each forward without padding had."""
    seen: list[int] = []
    original = Forward.line

    def line(self: Forward, sequence: object, packing: Packing, *rest: object) -> Tensor:
        seen.append(len(packing.tokens))
        return original(self, sequence, packing, *rest)  # pyright: ignore[reportArgumentType] - handed through

    with monkeypatch.context() as patch:
        patch.setattr(Forward, "line", line)
        yield seen


def ragged(backbone: Backbone) -> Batch:
    def one(length: int) -> Example:
        ids = [5 + (7 * place + length) % 20 for place in range(length)]
        return Example(ids, [0] * length, infix=length - backbone.closes)

    return collate(backbone, [one(length) for length in LENGTHS])


def forms(backbone: Backbone) -> list[Prefix | SoftPrompt | Stack | None]:
    layout = backbone.layout(backbone.place)
    generator = torch.Generator().manual_seed(3)
    several = [
        Prefix(
            torch.randn(2, 2, layout.heads, length, layout.head_dim, generator=generator),
            (0, 1),
            backbone.place,
            shifts,
        )
        for length, shifts in ((6, False), (2, True), (4, True))
    ]
    soft = SoftPrompt(torch.randn(5, backbone.embedding_size, generator=generator))
    return [several[0], Stack((soft, several[1])), None, several[2]]


def test_a_line_and_its_rows() -> None:
    packing = Packing.of(torch.tensor([[0, 1, 1], [1, 0, 0]]))
    rows = torch.tensor([[[9.0], [1.0], [2.0]], [[3.0], [9.0], [9.0]]])
    assert packing.line(rows).tolist() == [[[1.0], [2.0], [3.0]]]
    assert packing.rows(packing.line(rows)).tolist() == [[[0.0], [1.0], [2.0]], [[3.0], [0.0], [0.0]]]


def test_a_mask_over_the_line_becomes_one_over_rows() -> None:
    packing = Packing.of(torch.tensor([[1, 1, 0], [1, 1, 1]]))
    neighbours = (torch.arange(5)[:, None] - torch.arange(5)).abs()[None, None] < 2
    found = packing.text_mask(neighbours, causal=False)[:, 0]
    assert found[0].tolist()[:2] == [[True, True, False], [True, True, False]]
    assert found[1].tolist() == [[True, True, False], [True, True, True], [False, True, True]]
    assert packing.text_mask(None, causal=True)[1, 0].tolist() == torch.ones(3, 3).tril().bool().tolist()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_who_packs(name: str, backbones: dict[str, Backbone]) -> None:
    assert backbones[name].packs == (name in PACKS)


@pytest.mark.parametrize("name", PACKS)
def test_states_and_gradients_are_those_of_the_padded_batch(
    name: str, backbones: dict[str, Backbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = backbones[name]
    batch, several = ragged(backbone), forms(backbone)
    leaves = [part.key_values.requires_grad_() for part in several if isinstance(part, Prefix)]

    def run() -> tuple[Tensor, list[Tensor]]:
        states = backbone.hidden(batch, Bank.of(several).rows(torch.arange(4)))[batch.attention_mask.bool()]
        return states, list(torch.autograd.grad(states.square().sum(), leaves))

    with lines_counted(backbone, monkeypatch) as lines:
        packed, packed_grads = run()
    assert lines == [sum(LENGTHS) + 5]
    monkeypatch.setattr(backbone._forward, "packs", False)
    padded, padded_grads = run()
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(packed_grads, padded_grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


def test_the_bare_backbone_and_full_rectangles_are_left_alone(
    backbones: dict[str, Backbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = backbones["bert"]
    batch, bank = ragged(backbone), Bank.of(forms(backbone)[:1])
    with lines_counted(backbone, monkeypatch) as lines:
        bare = backbone.hidden(batch, Bank.of([None]).rows(torch.zeros(4, dtype=torch.long)))
        backbone.hidden(batch.select(slice(1, 2)), bank.rows(torch.tensor([0])))
    assert lines == []
    assert torch.equal(bare, backbone.hidden(batch))


def test_mixed_lengths_stay_together_where_padding_costs_little() -> None:
    lengths = [7, 35, 12, 20]
    assert len(list(micro_batches(lengths))) == 3
    assert list(micro_batches(lengths, waste=4.0)) == [[0, 2, 3, 1]]
