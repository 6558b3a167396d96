"""One pass of the backbone over rows of many tasks, and what each task's head reads in it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..heads import Head
from ..types import Batch
from .attention import Below
from .backbone import Backbone
from .bank import Bank
from .decoding import target_logits


def read(
    backbone: Backbone, batch: Batch, bank: Bank, owner: Tensor, heads: Sequence[Head], below: Below | None = None
) -> Iterator[tuple[int, Batch, Tensor]]:
    """For each owner k in owner [B]: k, its share of the batch, and its head's logits [rows, ...].

    Heads that read states share one pass; those that need a decoder's logits share another.
    """
    speaks = torch.tensor([head.speaks(backbone) for head in heads], device=owner.device)[owner]
    for aloud in (False, True):
        chosen = (speaks == aloud).nonzero().flatten()
        if not len(chosen):
            continue
        part = batch if len(chosen) == len(owner) else batch.select(chosen)
        prompts = bank.rows(owner[chosen])
        seen = target_logits(backbone, part, prompts) if aloud else backbone.states(part, prompts, below)
        owners = owner[chosen].tolist()
        for k in sorted(set(owners)):
            rows = _rows([row for row, of in enumerate(owners) if of == k], owner.device)
            own = part.select(rows)
            picked = seen[rows] if isinstance(seen, Tensor) else seen.of(rows)
            yield k, own, heads[k].logits(picked, own, backbone)


def _rows(places: list[int], device: torch.device) -> Tensor | slice:
    """Rows that follow each other are a slice, which copies nothing."""
    first, last = places[0], places[-1] + 1
    return slice(first, last) if last - first == len(places) else torch.tensor(places, device=device)
