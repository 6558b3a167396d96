"""A label for every word, read at the word's first token (Devlin et al., 2019, section 5.3)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch


@dataclass(frozen=True)
class TagHead:
    """One linear layer over every token."""

    name: ClassVar[str] = "tags"
    weight: Tensor  # [C, H]
    bias: Tensor  # [C]

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, T, C]."""
        return functional.linear(read.text, self.weight, self.bias)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice for each word."""
        return logits, (batch.tags >= 0).to(logits.dtype)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean cross-entropy of a row's words [B]."""
        each = functional.cross_entropy(logits.transpose(1, 2), batch.tags, ignore_index=-1, reduction="none")
        return each.sum(1) / (batch.tags >= 0).sum(1).clamp(min=1)
