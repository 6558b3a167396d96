"""Attention over a prefix, with numbers worked by hand."""

import torch
from torch import nn

from methods.runtime.attention import Call, LayerPrefix, prefix_attention


def module(**attributes: object) -> nn.Module:
    made = nn.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_attention_over_a_prefix_by_hand() -> None:
    """One head of dimension 1, query 1, text key 0 with value 3, prefix key ln 2 with value 9.

    The weights are e^0 : e^(ln 2) = 1 : 2, so the answer is (1 * 3 + 2 * 9) / 3 = 7; masked away, it is 3.
    """
    one = torch.ones(2, 1, 1, 1)
    layer = LayerPrefix(one * torch.tensor(2.0).log(), one * 9, torch.tensor([[True], [False]]))
    where = module(prompt_layers=(("encoder", 4),))
    output, _ = prefix_attention(where, one, one * 0, one * 3, None, Call({("encoder", 4): layer}), scaling=1.0)
    torch.testing.assert_close(output.flatten(), torch.tensor([7.0, 3.0]))


def test_a_causal_layer_stays_causal_behind_a_prefix() -> None:
    """Two text tokens: the first may see the prefix and itself, never the second (whose value is 100)."""
    key = torch.zeros(1, 1, 2, 1)
    value = torch.tensor([4.0, 100.0]).view(1, 1, 2, 1)
    layer = LayerPrefix(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 8.0), torch.tensor([[True]]))
    where = module(prompt_layers=(("decoder", 0),), is_causal=True)
    output, _ = prefix_attention(where, key, key, value, None, Call({("decoder", 0): layer}), scaling=1.0)
    torch.testing.assert_close(output.flatten(), torch.tensor([6.0, 112.0 / 3]))


def test_a_module_that_serves_two_layers_takes_their_prefixes_in_turn() -> None:
    """Equal keys: the answer is the mean of the text's value 0 and the layer's prefix value, 2 and then 6."""
    zero = torch.zeros(1, 1, 1, 1)
    there = torch.tensor([[True]])
    call = Call(
        {("encoder", 0): LayerPrefix(zero, zero + 2, there), ("encoder", 1): LayerPrefix(zero, zero + 6, there)}
    )
    shared = module(prompt_layers=(("encoder", 0), ("encoder", 1)))
    found = [prefix_attention(shared, zero, zero, zero, None, call, scaling=1.0)[0].item() for _ in range(2)]
    assert found == [1.0, 3.0]
