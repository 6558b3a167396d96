"""The start and the end of an answer among the context's tokens (Devlin et al., 2019, section 4.2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch


@dataclass(frozen=True)
class SpanHead:
    """Two linear scores over every token."""

    name: ClassVar[str] = "span"
    weight: Tensor  # [2, H]
    bias: Tensor  # [2]

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, T, 2] with the lowest number wherever an answer cannot lie."""
        logits = functional.linear(read.text, self.weight, self.bias)
        return logits.masked_fill(~batch.answerable[:, :, None], torch.finfo(logits.dtype).min)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The start and the end, each among the tokens."""
        return logits.transpose(1, 2), logits.new_ones(len(logits), 2)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean of the two cross-entropies [B]."""
        start = functional.cross_entropy(logits[:, :, 0], batch.start, reduction="none")
        end = functional.cross_entropy(logits[:, :, 1], batch.end, reduction="none")
        return (start + end) / 2
