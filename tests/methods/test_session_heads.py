"""Heads that grow by sessions: what they read, and what they make of it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from methods import Artifact, Backbone, Card, Fingerprint, Head, Task
from methods.heads import RidgeHead, SessionsHead
from methods.heads.ridge import SHARPNESS, new_ridge_head
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.runtime.backbone import States
from methods.stored import tensors
from methods.types import Batch

from .sessions import FIRST, examples

TASK = Task("t", "classification", ("a", "b"))
PRINT = Fingerprint("small", "c" * 64, "a" * 64, "t" * 64)


def one_token(tiny: Backbone, *vectors: list[float]) -> tuple[States, Batch]:
    """Rows of a single token, which is then what is pooled."""
    text = torch.tensor(vectors)[:, None]
    batch = collate(tiny, [Example([1], [0], label=1) for _ in vectors])
    return States(text, text[:, 0], text[:, 0], {2: 2 * text.flip(2)}), batch


def test_a_label_learned_twice_has_the_logit_of_its_best_row(tiny: Backbone) -> None:
    """Rows (1, 0), (0, 1), (-1, 0) with biases 0, 0, 1 of the labels 0, 1, 0; the text (3, 1): 3, 1 and -2."""
    head = SessionsHead(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]), torch.tensor([0.0, 0, 1]), (0, 1, 0))
    states, batch = one_token(tiny, [3, 1], [-3, 1])
    logits = head.logits(states, batch, tiny)
    assert logits.tolist() == [[3, 1], [4, 1]]
    assert head.loss(logits, batch).tolist() == pytest.approx([math.log(1 + math.exp(2)), math.log(1 + math.exp(3))])


def test_a_regression_on_the_text_and_a_constant_by_hand(tiny: Backbone) -> None:
    """(3, 4) of norm 5 is (0.6, 0.8), then 1; weights (1, 1, 0) and (0, -1, 2) give 1.4 and 1.2."""
    head = RidgeHead(torch.zeros(0, 0, dtype=torch.int8), torch.tensor([[1.0, 1, 0], [0, -1, 2]]))
    states, batch = one_token(tiny, [3, 4])
    torch.testing.assert_close(head.features(states, batch), torch.tensor([[0.6, 0.8, 1.0]]))
    torch.testing.assert_close(head.logits(states, batch, tiny), SHARPNESS * torch.tensor([[1.4, 1.2]]))


def test_random_features_of_two_layers_by_hand(tiny: Backbone) -> None:
    """The last layer's (0.6, 0.8), layer 1's (8, 6) of norm 10: F = 4, and relu(x S) / 2.

    S has the columns (1, 1, 1, 1), (1, -1, 1, -1), (-1, -1, 1, 1): 2.8, 0.6 - 0.8 + 0.8 - 0.6 = 0 and 0.
    """
    signs = torch.tensor([[1, 1, -1], [1, -1, -1], [1, 1, 1], [1, -1, 1]], dtype=torch.int8)
    head = RidgeHead(signs, torch.zeros(2, 3), (2,))
    features = head.features(*one_token(tiny, [3, 4], [-3, -4]))
    torch.testing.assert_close(features, torch.tensor([[1.4, 0, 0], [0, 0, 0]]))
    tilted = replace(head, projection=signs[:, :1] * torch.tensor([[1], [1], [1], [-1]], dtype=torch.int8))
    torch.testing.assert_close(tilted.features(*one_token(tiny, [3, 4])), torch.tensor([[(0.6 + 0.8 + 0.8 - 0.6) / 2]]))


def test_a_new_head_reads_the_layers_that_it_is_told_and_always_the_last(tiny: Backbone) -> None:
    """Of 3 layers of H = 40. What comes out of layer 0 is what stands below layer 1."""
    generator = torch.Generator().manual_seed(1)
    for layers, lower in (((), ()), ((2,), ()), ((0, 1, 2), (1, 2)), ((0,), (1,))):
        head = new_ridge_head(tiny, layers, 7, generator)
        assert (head.lower, head.projection.shape, head.weight.shape) == (lower, (40 * (1 + len(lower)), 7), (0, 7))
        assert head.projection.unique().tolist() == [-1, 1]
        assert new_ridge_head(tiny, layers, 0, generator).weight.shape == (0, 40 * (1 + len(lower)) + 1)


def test_lower_layers_are_those_of_the_model(tiny: Backbone) -> None:
    """Each as the masked mean of the model's own hidden states, of norm 1."""
    head = replace(new_ridge_head(tiny, (0, 1), 0, torch.Generator()), weight=torch.zeros(2, 121))
    batch = collate(tiny, examples(tiny, FIRST))
    with torch.no_grad():
        features = head.features(tiny.states(batch, lower=head.lower), batch)
        own = tiny.model(batch.input_ids, batch.attention_mask, batch.token_type_ids, output_hidden_states=True)

    def mean(states: Tensor) -> Tensor:
        rows = [row[mask.bool()].mean(0) for row, mask in zip(states, batch.attention_mask, strict=True)]
        return torch.stack([row / row.norm() for row in rows])

    several = [mean(own.hidden_states[layer]) for layer in (3, 1, 2)]
    expected = torch.cat([*several, torch.ones(len(features), 1)], dim=1)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "head",
    [
        SessionsHead(torch.ones(3, 40), torch.zeros(3), (0, 1, 0), "last"),
        RidgeHead(torch.ones(80, 7, dtype=torch.int8), torch.ones(2, 7), (2,), "first"),
        RidgeHead(torch.zeros(0, 0, dtype=torch.int8), torch.ones(2, 41)),
    ],
    ids=["sessions", "random", "plain"],
)
def test_a_head_survives_its_file(head: Head) -> None:
    stored = Artifact(Card("t", TASK, "coda", {}, PRINT), None, head).to_bytes()
    again = Artifact.from_bytes(stored)
    assert again.to_bytes() == stored
    assert type(again.head) is type(head)
    for name, tensor in tensors(head).items():
        assert torch.equal(getattr(again.head, name), tensor)
        assert getattr(again.head, name).dtype == tensor.dtype
