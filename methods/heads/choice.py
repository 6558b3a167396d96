"""One score per choice of a multiple-choice row: each choice is read beside the text, and the scores compete."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled


@dataclass(frozen=True)
class ChoiceHead:
    """A linear score over the pooled text (Radford et al., 2018, section 3.3)."""

    name: ClassVar[str] = "choice"
    weight: Tensor  # [1, H]
    bias: Tensor  # [1]
    pooling: Pooling = "mean"

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[rows, C], the lowest number where a row has fewer choices than another."""
        scores = functional.linear(pooled(read, batch, self.pooling), self.weight, self.bias)[:, 0]
        counts = batch.group.unique_consecutive(return_counts=True)[1].tolist()
        lowest = torch.finfo(scores.dtype).min
        return pad_sequence(list(scores.split(counts)), batch_first=True, padding_value=lowest)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the row's own choices."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over a row's own choices [rows]."""
        counts = batch.group.unique_consecutive(return_counts=True)[1]
        label = batch.label[counts.cumsum(0) - counts]
        return functional.cross_entropy(logits, label, reduction="none")
