"""Labels from a pooled text through a dense layer, as RoBERTa, DistilBERT and ELECTRA are fine-tuned.

The classification layers of transformers: dense, activation, projection. Imported versions have it; nothing trains it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled

Activation: TypeAlias = Literal["tanh", "gelu", "relu", "silu"]


@dataclass(frozen=True)
class ClassifierHead:
    """Two linear layers with an activation between them."""

    name: ClassVar[str] = "classifier"
    dense_weight: Tensor  # [H, H]
    dense_bias: Tensor  # [H]
    weight: Tensor  # [C, H]
    bias: Tensor  # [C]
    activation: Activation = "tanh"
    pooling: Pooling = "opening"

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, C]."""
        dense = functional.linear(pooled(read, batch, self.pooling), self.dense_weight, self.dense_bias)
        return functional.linear(activated(dense, self.activation), self.weight, self.bias)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the labels."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B]."""
        return functional.cross_entropy(logits, batch.label, reduction="none")


def activated(values: Tensor, activation: Activation) -> Tensor:
    """The activation of each value."""
    match activation:
        case "tanh":
            return torch.tanh(values)
        case "gelu":
            return functional.gelu(values)
        case "relu":
            return functional.relu(values)
        case "silu":
            return functional.silu(values)
