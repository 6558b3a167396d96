"""One vector per sequence out of the states of its tokens; virtual tokens are never among them."""

from typing import Any

import torch
from torch import Tensor

from ..runtime.inputs import States, last_column
from ..types import Batch, Pooling


def pooled(states: States, batch: Batch, pooling: Pooling) -> Tensor:
    """[B, H]: the masked mean of the text, its first token, its last, or (peft's geometry) whatever comes first."""
    mask = batch.attention_mask
    rows = torch.arange(len(mask), device=mask.device)
    match pooling:
        case "mean":
            weight = mask[:, :, None].to(states.text.dtype)
            return (states.text * weight).sum(1) / weight.sum(1)
        case "first":
            return states.text[rows, mask.argmax(1)]
        case "last":
            return states.text[rows, last_column(mask)]
        case "opening":
            return states.opening


def through_pooler(vector: Tensor, model: Any) -> Tensor:
    """[B, H] through the backbone's own pooler, as the classes of transformers for classification do."""
    return model.pooler(vector[:, None])
