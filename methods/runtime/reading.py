"""One pass of the backbone over rows of many tasks, and what each task's head reads in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..heads import Head
from ..heads.pooling import pooled
from ..types import Batch
from .attention import Below
from .backbone import Backbone, States
from .bank import Bank, PromptRows
from .decoding import Spoken, spoken


@dataclass(frozen=True)
class Reading:
    """One task's share of a batch, and what its head read there."""

    task: int
    batch: Batch
    logits: Tensor  # [rows, ...]
    states: Tensor  # [b, T, H], the last ones; of the target's tokens where the head reads a language model's logits
    mask: Tensor  # [b, T], 1 on real tokens


def read(
    backbone: Backbone,
    batch: Batch,
    bank: Bank,
    owner: Tensor,
    heads: Sequence[Head],
    below: Below | None = None,
    known: States | None = None,
    query: Tensor | None = None,
) -> Iterator[Reading]:
    """For each owner k in owner [B]: its share of the batch through its prompt and its head.

    Heads that read states share one pass, or the states that are `known`; those that need a decoder's logits share
    another. Rows whose prompt is in a pool go through the bare backbone first, unless their `query` [B, H] is known.
    """
    lower = sorted({layer for head in heads for layer in getattr(head, "lower", ())})
    speaks = torch.tensor([head.speaks(backbone) for head in heads], device=owner.device)[owner]
    for aloud in (False, True):
        chosen = (speaks == aloud).nonzero().flatten()
        if not len(chosen):
            continue
        part = batch if len(chosen) == len(owner) else batch.select(chosen)
        seen: Spoken | States
        if known is not None and not aloud:
            seen = known if part is batch else known.of(chosen)
        else:
            prompts = prompted(backbone, part, bank, owner[chosen], None if query is None else query[chosen])
            seen = spoken(backbone, part, prompts) if aloud else backbone.states(part, prompts, below, lower)
        owners = owner[chosen].tolist()
        for k in sorted(set(owners)):
            rows = _rows([row for row, of in enumerate(owners) if of == k], owner.device)
            own = part.select(rows)
            if isinstance(seen, Spoken):
                logits = heads[k].logits(seen.logits[rows], own, backbone)
                yield Reading(k, own, logits, seen.states[rows], own.target_mask)
            else:
                states = seen.of(rows)
                logits = heads[k].logits(states, own, backbone)
                yield Reading(k, own, logits, states.text, own.attention_mask)


def prompted(backbone: Backbone, batch: Batch, bank: Bank, owner: Tensor, query: Tensor | None = None) -> PromptRows:
    """Each row's prompt; the queries [B, H] that pools are asked with take a pass of their rows, unless known."""
    asking = bank.asks(owner.tolist())
    if query is None and asking:
        query = torch.zeros(len(owner), backbone.hidden_size, device=owner.device)
        query[asking] = queries(backbone, batch.select(torch.tensor(asking, device=owner.device)))
    return bank.rows(owner, query if asking else None)


def queries(backbone: Backbone, batch: Batch, states: States | None = None) -> Tensor:
    """[B, H] of norm 1: the pooled text as the bare backbone sees it, which no prompt changes."""
    with torch.no_grad():
        states = backbone.states(batch) if states is None else states
        return functional.normalize(pooled(states, batch, backbone.pooling), dim=1)


def _rows(places: list[int], device: torch.device) -> Tensor | slice:
    """Rows that follow each other are a slice, which copies nothing."""
    first, last = places[0], places[-1] + 1
    return slice(first, last) if last - first == len(places) else torch.tensor(places, device=device)
