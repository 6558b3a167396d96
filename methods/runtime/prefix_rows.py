"""Prefixes of rows that leave and join a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from .attention import Layer, LayerPrefix, PrefixRows


def made(prefix: PrefixRows) -> dict[Layer, LayerPrefix]:
    """Every layer's prefix, put together once instead of whenever its layer is reached."""
    return {at: prefix[at] for at in prefix}


def picked(prefix: PrefixRows, rows: Tensor) -> dict[Layer, LayerPrefix]:
    """Those of rows [b]."""
    masks = {id(mask): mask[rows] for mask in _masks(prefix)}
    moving = {id(one.moving): one.moving[rows] for one in prefix.values() if one.moving is not None}
    return {
        at: LayerPrefix(one.keys[rows], one.values[rows], masks[id(one.mask)], moving.get(id(one.moving)))
        for at, one in prefix.items()
    }


def joined(first: PrefixRows, second: PrefixRows, rows: tuple[int, int]) -> dict[Layer, LayerPrefix]:
    """Those of two batches of so many rows, one behind the other; none of them may move a text."""
    masks: dict[tuple[int, int], Tensor] = {}  # layers that shared a mask share it afterwards
    found = {}
    for at in dict.fromkeys([*first, *second]):
        some = first.get(at) or second[at]
        one, other = first.get(at) or _nothing(some, rows[0]), second.get(at) or _nothing(some, rows[1])
        longest = max(one.mask.shape[1], other.mask.shape[1])
        key = id(first.get(at) and one.mask), id(second.get(at) and other.mask)
        if key not in masks:
            halves = (functional.pad(half, (0, longest - half.shape[1])) for half in (one.mask, other.mask))
            masks[key] = torch.cat(list(halves))
        found[at] = LayerPrefix(_behind(one.keys, other.keys), _behind(one.values, other.values), masks[key])
    return found


def padded(states: Tensor, length: int) -> Tensor:
    """[b, N, P, D] with zeros behind, up to a length."""
    return functional.pad(states, (0, 0, 0, length - states.shape[2]))


def _behind(one: Tensor, other: Tensor) -> Tensor:
    longest = max(one.shape[2], other.shape[2])
    return torch.cat([padded(one, longest), padded(other.to(one.dtype), longest)])


def _nothing(like: LayerPrefix, rows: int) -> LayerPrefix:
    """The empty prefix of rows that have none in a layer."""
    empty = like.keys[:1, :, :0].expand(rows, -1, -1, -1)
    return LayerPrefix(empty, empty, like.mask[:1, :0].expand(rows, -1))


def _masks(prefix: Mapping[Layer, LayerPrefix]) -> list[Tensor]:
    return list({id(one.mask): one.mask for one in prefix.values()}.values())
