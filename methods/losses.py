"""What rows cost in training, in nats: the labels' own loss, and what a teacher adds to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .distillation import Distillation, hidden_loss, logits_loss
from .heads import Head
from .runtime.reading import Reading

PARTS = ("task", "logits", "hidden")  # the labels' own loss, then a teacher's


@dataclass(frozen=True)
class Losses:
    """Rows' losses in nats, and those of PARTS that they are made of."""

    tasks: Tensor  # [b]
    total: Tensor  # [b]
    parts: Mapping[str, Tensor]  # [b] each

    @classmethod
    def joined(cls, several: Sequence["Losses"]) -> "Losses":
        """All rows, one after the other; a part that some rows lack is zero there."""
        names = dict.fromkeys(name for one in several for name in one.parts)
        parts = {
            name: torch.cat([one.parts.get(name, torch.zeros_like(one.total)).detach() for one in several])
            for name in names
        }
        return cls(torch.cat([one.tasks for one in several]), torch.cat([one.total for one in several]), parts)

    def plus(self, added: Tensor) -> "Losses":
        """With what prompts that ask add to each row [b]: rows of one task, which come in the batch's order."""
        return replace(self, total=self.total + added)


def lost(head: Head, student: Reading, teacher: Reading | None, lesson: Distillation | None) -> Losses:
    """The losses of one task's share of a batch: L_task + weight * (L_logits + L_hidden) with a teacher."""
    loss = head.loss(student.logits, student.batch)
    owner = torch.full((len(loss),), student.task, device=loss.device)
    if teacher is None or lesson is None:
        return Losses(owner, loss, {"task": loss})
    logits = logits_loss(head, student.logits, teacher.logits, student.batch, lesson.temperature)
    hidden = hidden_loss(student.states, teacher.states, student.mask, student.batch.group)
    return Losses(owner, loss + lesson.weight * (logits + hidden), {"task": loss, "logits": logits, "hidden": hidden})
