"""Where virtual tokens go among the text, and which position each token has."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..types import PLACEMENTS, Batch
from .bank import SoftRows


@dataclass(frozen=True)
class Order:
    """How virtual tokens [B, P] and text [B, T] become one sequence [B, P + T]."""

    source: Tensor  # [B, P + T], which of the P + T each place takes
    back: Tensor  # [B, T], where each text token went

    def merge(self, virtual: Tensor, text: Tensor) -> Tensor:
        """Values [B, P, ...] and [B, T, ...] in the order of the sequence."""
        both = torch.cat([virtual, text], dim=1)
        if both.dim() == 2:
            return both.gather(1, self.source)
        return both.gather(1, self.source[:, :, None].expand(-1, -1, both.shape[2]))


def order(batch: Batch, soft: SoftRows, opens: int, closes: int, *, left: bool) -> Order:
    """The sequence for inputs that begin with `opens` special tokens and end with `closes`.

    Virtual tokens that a row lacks go to the outside, on the `left` or on the right, so that its real tokens stand
    together.
    """
    tokens = batch.input_ids.shape[1]
    mask = batch.attention_mask
    first = mask.argmax(1)
    end = first + mask.sum(1)
    turn = (soft.placement == PLACEMENTS.index("template")).cumsum(1) - 1
    slots = batch.slots if batch.slots.shape[1] else batch.infix[:, None]
    anchors = {
        "first": first[:, None],
        "after-first": (first + opens)[:, None],
        "infix": batch.infix[:, None],
        "template": slots.gather(1, turn.clamp(0, slots.shape[1] - 1)),
        "before-last": (end - closes)[:, None],
    }
    at = torch.zeros_like(soft.placement)
    for code, name in enumerate(PLACEMENTS):
        at = torch.where(soft.placement == code, anchors[name], at)
    outside = -1 if left else 2 * tokens + 2
    place = torch.cat(
        [
            torch.where(soft.mask, 2 * at, outside),
            (2 * torch.arange(tokens, device=mask.device) + 1).expand(len(mask), -1),
        ],
        dim=1,
    )
    source = place.argsort(dim=1, stable=True)
    return Order(source, source.argsort(dim=1)[:, soft.mask.shape[1] :])


def positions(counted: Tensor, shift: Tensor | None, start: int) -> Tensor:
    """[B, T] from which tokens count [B, T]; one that does not count takes the next one's position.

    The first position is `start`, or further on by `shift` [B].
    """
    counted = counted.long()
    before = (counted.cumsum(1) - counted).clamp(max=counted.sum(1, keepdim=True).clamp(min=1) - 1)
    return before + start if shift is None else before + start + shift[:, None]


_GIVEN: ContextVar[Tensor | None] = ContextVar("positions", default=None)


@contextmanager
def given(positions: Tensor) -> Iterator[None]:
    """Positions for a model that counts its own; they hold in this thread of execution alone."""
    token = _GIVEN.set(positions)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def tell(module: nn.Embedding) -> None:
    """Make BART's position table use the positions of `given` where there are some."""
    original = type(module)
    offset = int(module.offset)  # pyright: ignore[reportArgumentType] - a plain attribute of BART's table

    class Told(original):
        def forward(self, *args: Any, **options: Any) -> Tensor:
            positions = _GIVEN.get()
            if positions is None:
                return super().forward(*args, **options)
            return functional.embedding(positions + offset, self.weight)

    module.__class__ = Told
