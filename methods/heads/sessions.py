"""Labels that are learned session by session: every session adds rows, and no row ever changes."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone, States
from ..types import Batch, Pooling
from .pooling import pooled


@dataclass(frozen=True)
class SessionsHead:
    """X linear rows over C labels; a label that was learned in several sessions has the logit of its best row."""

    name: ClassVar[str] = "sessions"
    weight: Tensor  # [X, H]
    bias: Tensor  # [X]
    of: tuple[int, ...]  # the label of each row; every label has one
    pooling: Pooling = "mean"

    def speaks(self, backbone: Backbone) -> bool:
        """It reads states."""
        return False

    def logits(self, read: States, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, C]."""
        rows = functional.linear(pooled(read, batch, self.pooling), self.weight, self.bias)
        of = torch.tensor(self.of, device=rows.device).expand(len(rows), -1)
        return rows.new_empty(len(rows), max(self.of) + 1).scatter_reduce(1, of, rows, "amax", include_self=False)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the labels."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B]."""
        return functional.cross_entropy(logits, batch.label, reduction="none")
