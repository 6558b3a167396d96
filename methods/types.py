"""The glossary of shapes, and the batch that every room after it reads.

B rows of a batch, T tokens, P prompt length, H hidden size, L layers, N heads, D head dimension, C labels,
K tasks, R rank, W = L * 2 * N * D the width of one prefix position.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Placement = Literal["first", "after-first"]
Pooling = Literal["mean", "first"]


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right to one length."""

    input_ids: Tensor  # [B, T]
    attention_mask: Tensor  # [B, T], 1 on real tokens
    token_type_ids: Tensor  # [B, T]
    answerable: Tensor  # [B, T], true on tokens of the context, where an answer span may lie
    label: Tensor  # [B], index into the task's labels, -1 where there is none
    start: Tensor  # [B], first token of the answer, -1 where there is none
    end: Tensor  # [B], last token of the answer

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(**{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    def select(self, rows: Tensor) -> "Batch":
        """Some rows [b] of it, in that order."""
        return Batch(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})
