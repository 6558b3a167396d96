"""Which rows make which batch: a function of sizes, seed and epoch alone, never of the number of workers.

Every batch holds every task in proportion to its rows, drawn without replacement; inside a task, neighbours in a
batch have similar lengths. A batch is run as micro-batches of similar length, so that padding stays small although
short and long tasks are mixed.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch

WINDOW = 8  # batches among which a task's rows are sorted by length
WASTE = 1.25  # padded tokens over real tokens at which a micro-batch is cut
PACKED_WASTE = 4.0  # the same where padding is left out of all but attention
TOKENS = 8192  # padded tokens of a micro-batch at the most

Cursor: TypeAlias = tuple[int, int]  # task index, example index


def epoch_batches(lengths: Sequence[Sequence[int]], batch_size: int, seed: int, epoch: int) -> list[list[Cursor]]:
    """All rows of all tasks once, as batches; lengths[k][i] is the number of tokens of example i of task k."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    count = batches_per_epoch(lengths, batch_size)
    batches: list[list[Cursor]] = [[] for _ in range(count)]
    for task, of_task in enumerate(lengths):
        slices = _slices(of_task, count, generator)
        for place, chosen in zip(torch.randperm(count, generator=generator).tolist(), slices, strict=True):
            batches[place] += [(task, index) for index in chosen]
    for empty in (batch for batch in batches if not batch):  # where parts are smaller than one row
        empty.append(max(batches, key=len).pop())
    return batches


def batches_per_epoch(lengths: Sequence[Sequence[int]], batch_size: int) -> int:
    """Steps in one epoch."""
    return max(1, -(-sum(map(len, lengths)) // batch_size))


def _slices(lengths: Sequence[int], count: int, generator: torch.Generator) -> list[list[int]]:
    """`count` parts of one task's shuffled rows, sorted by length within a window of parts."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    bounds = [part * len(order) // count for part in range(count + 1)]
    for first in range(0, count, WINDOW):
        start, stop = bounds[first], bounds[min(first + WINDOW, count)]
        order[start:stop] = sorted(order[start:stop], key=lambda index: lengths[index])
    return [order[start:stop] for start, stop in pairwise(bounds)]


def micro_batches(lengths: Sequence[int], waste: float = WASTE) -> Iterator[list[int]]:
    """Indices of rows grouped by similar length, shortest first."""
    group: list[int] = []
    real = 0
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        padded = (len(group) + 1) * lengths[index]
        if group and (padded > TOKENS or padded > waste * (real + lengths[index])):
            yield group
            group, real = [], 0
        group.append(index)
        real += lengths[index]
    if group:
        yield group
