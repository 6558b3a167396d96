"""The one way a prefix enters a backbone: an attention function registered with transformers.

Every layer's keys and values get, per row, those of the row's prefix in front, and the mask says which of them the
row has. The prefix travels with the call (a keyword that transformers hands down to every attention layer); nothing
is stored on a module, so concurrent calls cannot see each other's prompts. It moves no text position and adds no row
to the output. Prefix-tuning: Li and Liang (2021), section 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

ATTENTION = "promptctl"


@dataclass(frozen=True)
class LayerPrefix:
    """One layer's prefix for the rows of one batch."""

    keys: Tensor  # [B, N, P, D]
    values: Tensor  # [B, N, P, D]
    mask: Tensor  # [B, P], true where the row has a prefix position


PrefixRows = Mapping[int, LayerPrefix]


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    prompt_prefix: PrefixRows | None = None,
    captured: dict[int, tuple[Tensor, Tensor]] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of query [B, N, T, D] over the prefix and key, value [B, N, S, D].

    `captured` collects every layer's own keys and values, which is how a prefix starts from real words.
    """
    index = getattr(module, "layer_idx", None)
    if captured is not None and isinstance(index, int):
        captured[index] = (key, value)
    layer = prompt_prefix.get(index) if prompt_prefix and isinstance(index, int) else None
    if layer is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    text = _text_mask(module, query, key, attention_mask)
    front = layer.mask[:, None, None, :].expand(-1, text.shape[1], text.shape[2], -1)
    if text.dtype != torch.bool:
        front = torch.zeros_like(front, dtype=text.dtype).masked_fill(~front, torch.finfo(text.dtype).min)
    options["is_causal"] = False
    return sdpa_attention_forward(
        module,
        query,
        torch.cat([layer.keys.to(key.dtype), key], dim=2),
        torch.cat([layer.values.to(value.dtype), value], dim=2),
        torch.cat([front, text], dim=3),
        **options,
    )


def _text_mask(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """The mask [B, 1, T, S] over the text alone; without one, all of it (or the lower triangle, if causal)."""
    if mask is not None:
        return mask
    seen = torch.ones(query.shape[0], 1, query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    return seen.tril(key.shape[2] - query.shape[2]) if getattr(module, "is_causal", False) else seen


AttentionInterface.register(ATTENTION, prefix_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
