"""Labels by regression on fixed features: exact, whatever the order in which rows came.

Random features: McDonnell et al. (2023), "RanPAC: Random Projections and Pre-trained Models for Continual Learning",
section 3: relu(x S) with a fixed random S. Ours reads several layers, each vector normalised, and S holds signs only,
which take an eighth of the room.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled

SHARPNESS = 20.0  # a regression lies between 0 and 1; times this, its softmax comes near to how often it is right


@dataclass(frozen=True)
class RidgeHead:
    """C regressions over R random features of F numbers; without a projection, over the F numbers and a constant."""

    name: ClassVar[str] = "incremental-ridge"
    projection: Tensor  # [F, R] of -1 and 1 (int8), or [0, 0]
    weight: Tensor  # [C, R], or [C, F + 1]
    lower: tuple[int, ...] = ()  # the layers below which states are read, beside the last ones
    pooling: Pooling = "mean"

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, C]."""
        return SHARPNESS * functional.linear(self.features(read, batch), self.weight)

    def features(self, read: States, batch: Batch) -> Tensor:
        """[B, R]."""
        layers = [read, *(replace(read, text=read.lower[layer]) for layer in self.lower)]
        seen = torch.cat([functional.normalize(pooled(one, batch, self.pooling), dim=1) for one in layers], dim=1)
        if not self.projection.numel():
            return torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        return torch.relu(seen @ self.projection.to(seen.dtype)) / math.sqrt(seen.shape[1])

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the labels."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B]."""
        return functional.cross_entropy(logits, batch.label, reduction="none")


def new_ridge_head(
    backbone: Backbone, layers: Sequence[int], random_features: int, generator: torch.Generator
) -> RidgeHead:
    """A head that has seen nothing, over the states that come out of some layers; the last one is always read."""
    last = backbone.layout(backbone.place).layers - 1
    lower = tuple(layer + 1 for layer in layers if layer != last)
    size = backbone.hidden_size * (1 + len(lower))
    signs = torch.randint(0, 2, (size, random_features), generator=generator, dtype=torch.int8) * 2 - 1
    projection = signs if random_features else torch.zeros(0, 0, dtype=torch.int8)
    return RidgeHead(projection, torch.zeros(0, random_features or size + 1), lower, backbone.pooling)
