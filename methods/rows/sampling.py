"""Which rows make which batch. A new sampler is a file and its line in `SAMPLERS`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from . import batches, stochastic
from .batches import Cursor

Sampling: TypeAlias = Literal["every-row", "stochastic"]


@dataclass(frozen=True)
class Sampler:
    """Functions of the examples' lengths per task and the batch size; the batches also of seed and epoch."""

    batches_per_epoch: Callable[[Sequence[Sequence[int]], int], int]
    epoch_batches: Callable[[Sequence[Sequence[int]], int, int, int], list[list[Cursor]]]


SAMPLERS: Mapping[Sampling, Sampler] = {
    "every-row": Sampler(batches.batches_per_epoch, batches.epoch_batches),
    "stochastic": Sampler(stochastic.batches_per_epoch, stochastic.epoch_batches),
}
