"""Labels from a pooled text."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled, through_pooler


@dataclass(frozen=True)
class LinearHead:
    """One linear layer; `pooler` puts the backbone's own pooler before it."""

    name: ClassVar[str] = "linear"
    weight: Tensor  # [C, H]
    bias: Tensor  # [C]
    pooling: Pooling = "mean"
    pooler: bool = False

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, C]."""
        vector = pooled(read, batch, self.pooling)
        if self.pooler:
            vector = through_pooler(vector, backbone.model)
        return functional.linear(vector, self.weight, self.bias)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the labels."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B]."""
        return functional.cross_entropy(logits, batch.label, reduction="none")
