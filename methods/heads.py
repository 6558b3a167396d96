"""What reads the frozen backbone's hidden states: one head per task, with the task's own number of labels."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from .task import Task
from .types import Batch, Pooling


@dataclass(frozen=True)
class LinearHead:
    """Labels from a pooled sentence: masked mean over the text, or its first token."""

    weight: Tensor  # [C, H]
    bias: Tensor  # [C]
    pooling: Pooling = "mean"

    def logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """[B, C] from hidden [B, T, H]; virtual tokens are never among the T."""
        if self.pooling == "first":
            pooled = hidden[:, 0]
        else:
            mask = batch.attention_mask[:, :, None].to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        return functional.linear(pooled, self.weight, self.bias)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B], in nats."""
        return functional.cross_entropy(logits, batch.label, reduction="none")


@dataclass(frozen=True)
class SpanHead:
    """The start and the end of an answer among the context's tokens (Devlin et al., 2019, section 4.2)."""

    weight: Tensor  # [2, H]
    bias: Tensor  # [2]

    def logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """[B, T, 2] with the lowest number wherever an answer cannot lie."""
        logits = functional.linear(hidden, self.weight, self.bias)
        return logits.masked_fill(~batch.answerable[:, :, None], torch.finfo(logits.dtype).min)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean of the two cross-entropies [B], in nats."""
        start = functional.cross_entropy(logits[:, :, 0], batch.start, reduction="none")
        end = functional.cross_entropy(logits[:, :, 1], batch.end, reduction="none")
        return (start + end) / 2


Head: TypeAlias = LinearHead | SpanHead


def new_head(task: Task, hidden_size: int, pooling: Pooling, generator: torch.Generator) -> Head:
    """A head at the start of training: weights N(0, 0.02), bias 0."""
    size = 2 if task.kind == "span-qa" else len(task.labels)
    weight = torch.randn(size, hidden_size, generator=generator) * 0.02
    if task.kind == "span-qa":
        return SpanHead(weight, torch.zeros(size))
    return LinearHead(weight, torch.zeros(size), pooling)
