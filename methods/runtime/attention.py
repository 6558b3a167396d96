"""The one way a prefix enters a backbone: an attention function registered with transformers.

Every layer's keys and values get, per row, those of the row's prefix in front, and the mask says which of them the
row has. The prefix travels with the call (a keyword that transformers hands down to every attention layer); nothing
of a call is stored on a module, so concurrent calls cannot see each other's prompts. It moves no text position and
adds no row to the output. Prefix-tuning: Li and Liang (2021), section 4.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from ..types import Place
from .packing import Packing

ATTENTION = "promptctl"

Layer: TypeAlias = tuple[Place, int]  # an attention layer's place and its number there


@dataclass(frozen=True)
class LayerPrefix:
    """One layer's prefix for the rows of one batch."""

    keys: Tensor  # [B, N, P, D]
    values: Tensor  # [B, N, P, D]
    mask: Tensor  # [B, P], true where the row has a prefix position
    moving: Tensor | None = None  # [B, P], true where a prefix position is counted and moves the row's text


PrefixRows = Mapping[Layer, LayerPrefix]


@dataclass(frozen=True)
class Below:
    """States that are known already, so that a forward begins at a layer."""

    layer: int
    states: Tensor  # [B, T, H], what comes out of the layer before it


@dataclass
class Call:
    """One forward's prefixes, and what is learned on the way; a new one for every forward."""

    prefix: PrefixRows = field(default_factory=dict)
    packing: Packing | None = None  # set where the tokens come as one line
    below: Below | None = None
    keep: int | None = None  # go no further than below this layer, and keep the states there
    kept: Tensor | None = None
    watched: dict[int, Tensor] | None = None  # the states below the layers that are its keys, of a whole forward
    captured: dict[Layer, tuple[Tensor, Tensor]] | None = None  # every layer's own keys and values
    visited: list[tuple[nn.Module, int, int]] | None = None  # attention modules in order, with their T and S
    turns: Counter[int] = field(default_factory=Counter)
    # masks over prefix and text, by what they are made of, which is kept so that its id stays its own
    masks: dict[tuple[int, int, int, int, bool], tuple[Tensor | None, Tensor]] = field(default_factory=dict)
    relative: dict[Place, Tensor] = field(default_factory=dict)  # T5's bias for prefix positions, from its first layer

    def layer(self, module: nn.Module) -> Layer | None:
        """Which layer a module stands for; one that is shared by several (ALBERT) stands for them in turn."""
        layers: tuple[Layer, ...] = getattr(module, "prompt_layers", ())
        if len(layers) < 2:
            return layers[0] if layers else None
        self.turns[id(module)] += 1
        return layers[(self.turns[id(module)] - 1) % len(layers)]


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    prompt_call: Call | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of query [B, N, T, D] over the prefix and key, value [B, N, S, D]; or of a line of tokens, as rows."""
    if prompt_call is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    packing = prompt_call.packing
    if packing is None:
        return _attention(module, query, key, value, attention_mask, prompt_call, **options), None
    query, key, value = (packing.rows(one.transpose(1, 2)).transpose(1, 2) for one in (query, key, value))
    mask = packing.text_mask(attention_mask, bool(getattr(module, "is_causal", False)))
    return packing.line(_attention(module, query, key, value, mask, prompt_call, **options)), None


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    prompt_call: Call,
    **options: Any,
) -> Tensor:
    """[B, T, N, D]."""
    if prompt_call.visited is not None:
        prompt_call.visited.append((module, query.shape[2], key.shape[2]))
    at = prompt_call.layer(module)
    if prompt_call.captured is not None and at is not None:
        prompt_call.captured[at] = (key, value)
    if at is not None and hasattr(module, "relative_attention_bias"):
        _look_up(module, query, key, at[0], prompt_call)
    layer = prompt_call.prefix.get(at) if at is not None else None
    if layer is None or at is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)[0]
    if (bias := options.get("position_bias")) is not None:
        front = prompt_call.relative.get(at[0])
        longer = functional.pad(bias, (layer.keys.shape[2], 0))
        options["position_bias"] = longer if front is None else longer + functional.pad(front, (0, bias.shape[3]))
    options["is_causal"] = False
    return sdpa_attention_forward(
        module,
        query,
        torch.cat([layer.keys.to(key.dtype), key], dim=2),
        torch.cat([layer.values.to(value.dtype), value], dim=2),
        _mask(module, query, key, attention_mask, layer, prompt_call),
        **options,
    )[0]


def _mask(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, layer: LayerPrefix, call: Call) -> Tensor:
    """The mask over prefix and text, made once for layers whose masks are the same."""
    causal = bool(getattr(module, "is_causal", False))
    seen = (id(layer.mask), id(mask), query.shape[2], key.shape[2], causal)
    if seen not in call.masks:
        call.masks[seen] = mask, _longer_mask(_text_mask(module, query, key, mask), layer.mask)
    return call.masks[seen][1]


def _longer_mask(text: Tensor, prefix: Tensor) -> Tensor:
    """The mask [B, 1, T, P + S] over the prefix [B, P] and the text [B, 1, T, S]."""
    front = prefix[:, None, None, :].expand(-1, text.shape[1], text.shape[2], -1)
    if text.dtype != torch.bool:
        front = torch.zeros_like(front, dtype=text.dtype).masked_fill(~front, torch.finfo(text.dtype).min)
    return torch.cat([front, text], dim=3)


def _text_mask(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """The mask [B, 1, T, S] over the text alone; without one, all of it (or the lower triangle, if causal)."""
    if mask is not None:
        return mask
    seen = torch.ones(query.shape[0], 1, query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    return seen.tril(key.shape[2] - query.shape[2]) if getattr(module, "is_causal", False) else seen


def _look_up(module: Any, query: Tensor, key: Tensor, place: Place, call: Call) -> None:
    """T5's additive bias [B, N, T, P] of a place's prefix, from the table that only the place's first layer has.

    A prefix has no position, so its bias is zero; one that moves the text has positions 0, 1, ... before it.
    """
    found = [layer.moving for (where, _), layer in call.prefix.items() if where == place and layer.moving is not None]
    if not found:
        return
    moving = found[0]
    at = moving.cumsum(1) - 1
    past = key.shape[2] - query.shape[2]
    text = torch.arange(query.shape[2], device=key.device)[None, :] + past + moving.sum(1, keepdim=True)
    buckets = module._relative_position_bucket(
        at[:, None, :] - text[:, :, None],
        bidirectional=not module.is_decoder,
        num_buckets=module.relative_attention_num_buckets,
        max_distance=module.relative_attention_max_distance,
    )
    bias = module.relative_attention_bias(buckets).permute(0, 3, 1, 2)
    call.relative[place] = bias * moving[:, None, None, :].to(bias.dtype)


AttentionInterface.register(ATTENTION, prefix_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
