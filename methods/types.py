"""The glossary of shapes, and the batch that every room after it reads.

B rows of a batch, T tokens, P prompt length, H hidden size, E width of a word embedding, L layers, N heads, D head
dimension, V vocabulary, C labels, K tasks, R rank, U tokens of a target, W = L * 2 * N * D the width of one prefix
position.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Architecture: TypeAlias = Literal["encoder", "decoder", "encoder-decoder"]
Place: TypeAlias = Literal["encoder", "decoder", "cross"]  # whose keys and values a prefix stands before
Placement: TypeAlias = Literal["first", "after-first", "infix", "template", "before-last"]
Pooling: TypeAlias = Literal["mean", "first", "last", "opening"]

PLACES: tuple[Place, ...] = get_args(Place)
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)


@dataclass(frozen=True)
class Batch:
    """Sequences padded to one length; a multiple-choice row has one sequence per choice."""

    input_ids: Tensor  # [B, T]
    attention_mask: Tensor  # [B, T], 1 on real tokens
    token_type_ids: Tensor  # [B, T]
    infix: Tensor  # [B], the column where the second text begins, or the closing tokens where there is none
    slots: Tensor  # [B, S], the columns before which a template wants its virtual tokens
    masked: Tensor  # [B], the column of the mask token that a verbalizer reads, -1 where there is none
    answerable: Tensor  # [B, T], true on tokens of the context, where an answer span may lie
    label: Tensor  # [B], index into the task's labels, -1 where there is none
    start: Tensor  # [B], column of the first token of the answer, -1 where there is none
    end: Tensor  # [B], column of the last token of the answer
    tags: Tensor  # [B, T], label of each token that begins a word, -1 on all others
    target_ids: Tensor  # [B, U], what is to be generated, its end token included
    target_mask: Tensor  # [B, U]
    group: Tensor  # [B], which row each sequence belongs to

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(**{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    def select(self, rows: Tensor | slice) -> "Batch":
        """Some sequences [b] of it, in that order."""
        return Batch(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})
