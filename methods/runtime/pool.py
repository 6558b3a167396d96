"""A row's own prefix out of a pool: which components its query is close to, and how much of each.

CODA-Prompt: Smith et al. (2023), "CODA-Prompt: COntinual Decomposed Attention-based Prompting", section 4.1. L2P: Wang
et al. (2022), "Learning to Prompt for Continual Learning", section 4.1. The query is the pooled text of a pass without
prompts, not the [CLS] state of an image, and normalised. Every row is computed by itself.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ..forms import Form, Prefix, PromptPool, parts, stack

SMALLEST = 1e-12  # norm, below which a vector is not made larger


def weights(pool: PromptPool, query: Tensor) -> Tensor:
    """[B, L, M], the cosine of key k and the query [B, H] under attention k: in closed form, without [B, L, M, H]."""
    keys = functional.normalize(pool.keys, dim=2, eps=SMALLEST)
    seen = torch.einsum("bh,lmh->blm", query, pool.attentions * keys)
    norms = torch.einsum("bh,lmh->blm", query.square(), pool.attentions.square()).sqrt()
    return seen / norms.clamp(min=SMALLEST)


def prefixes(pool: PromptPool, query: Tensor) -> Tensor:
    """Each row's keys and values [B, L, 2, N, P, D], of P positions, or of top * P."""
    near = weights(pool, query)
    if not pool.top:
        mixed = near.permute(1, 0, 2).unsqueeze(1) @ pool.components.flatten(3)  # [L, 2, B, N P D], no component copied
        return mixed.unflatten(3, pool.components.shape[3:]).permute(2, 0, 1, 3, 4, 5)
    chosen = near.topk(pool.top, dim=2).indices
    picked = torch.stack([pool.components[layer][:, rows] for layer, rows in enumerate(chosen.unbind(1))])
    return picked.permute(2, 0, 1, 4, 3, 5, 6).flatten(4, 5)


def resolved(forms: Sequence[Form], owner: Sequence[int], query: Tensor) -> list[Form]:
    """The form of each row b: that of its owner, where each pool has become the row's own prefix."""
    found = [forms[k] for k in owner]
    for k in sorted({k for k in owner if pools(forms[k])}):
        rows = [row for row, of in enumerate(owner) if of == k]
        several = parts(forms[k])
        for place, pool in ((place, one) for place, one in enumerate(several) if isinstance(one, PromptPool)):
            for row, key_values in zip(rows, prefixes(pool, query[rows]).unbind(0), strict=True):
                mine = list(parts(found[row]))
                mine[place] = Prefix(key_values, pool.layers, pool.place)
                found[row] = stack(tuple(mine))
    return found


def pools(form: Form) -> bool:
    """Whether a row's prefix depends on its text."""
    return any(isinstance(part, PromptPool) for part in parts(form))


def block(pool: PromptPool, index: int) -> PromptPool:
    """One of its blocks alone."""
    first, count = sum(pool.blocks[:index]), pool.blocks[index]
    rows = slice(first, first + count)
    return replace(
        pool,
        keys=pool.keys[:, rows].contiguous(),
        attentions=pool.attentions[:, rows].contiguous(),
        components=pool.components[:, :, rows].contiguous(),
        blocks=(count,),
    )
