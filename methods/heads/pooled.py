"""The vector that a linear head would read: nothing is made of it."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled, through_pooler


@dataclass(frozen=True)
class PooledHead:
    """A pooled text as it is; no artifact is stored with one."""

    name: ClassVar[str] = "pooled"
    pooling: Pooling = "mean"
    pooler: bool = False

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, H], the vectors themselves."""
        vector = pooled(read, batch, self.pooling)
        return through_pooler(vector, backbone.model) if self.pooler else vector

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """None; the vectors as if they were one choice."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Zero [B]."""
        return logits.new_zeros(len(logits))
