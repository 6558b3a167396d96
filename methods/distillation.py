"""What a student learns from a teacher besides its labels: Wang et al. (2023), section 3.2; Hinton et al. (2015).

L = L_task + weight * (L_logits + L_hidden). L_logits is KL(teacher || student) of what the two heads choose from, both
smoothed by a temperature, times its square, so that its gradient keeps its size. L_hidden is the squared distance of
the two last hidden states, as the mean over a row's tokens and their width; the paper writes the sum, which would
grow with both. Padding counts in neither. Where a head reads a language model's logits (generation, and a verbalizer on
an encoder-decoder), the states are those of the target's tokens, under the logits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from .heads import Head
from .types import Batch

if TYPE_CHECKING:
    from .prompt import Method


@dataclass(frozen=True)
class Distillation:
    """How much a teacher's word counts, and how teachers learn, which know nothing of each other's tasks."""

    weight: float
    temperature: float
    teacher: "Method"


def logits_loss(head: Head, student: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
    """KL(teacher || student) [rows] in nats, the mean over what a row has to choose; the teacher gets no gradient."""
    ours, counts = head.choices(student, batch)
    theirs, _ = head.choices(teacher.detach(), batch)
    ours, theirs = ((one / temperature).log_softmax(-1) for one in (ours, theirs))
    each = (theirs.exp() * (theirs - ours)).sum(-1) * temperature**2
    return (each * counts).sum(1) / counts.sum(1).clamp(min=1)


def hidden_loss(student: Tensor, teacher: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """The mean squared distance [rows] of hidden states [B, T, H] over a row's tokens, by the mask [B, T].

    Sequence b belongs to the row group [B].
    """
    mask = mask.to(student.dtype)
    squares = (student - teacher.detach()).square().mean(2) * mask
    _, row = group.unique_consecutive(return_inverse=True)
    zeros = squares.new_zeros(int(row[-1]) + 1)
    return zeros.index_add(0, row, squares.sum(1)) / zeros.index_add(0, row, mask.sum(1))
