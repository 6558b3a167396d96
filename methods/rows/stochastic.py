"""Batches of a few tasks each, in turn large and small: stochastic task sampling, Wang et al. (2023), section 3.2.

As in the authors' code: a batch draws how many tasks it has, then that many names, with replacement and each in
proportion to its task's rows, of which no more than CAP count (Raffel et al., 2020, section 3.5.2); every name gives
an equal share of rows, one of them what is left over. A task's rows come in an order of their own and begin anew when
they are used up. An epoch has as many batches as the rows of all tasks fill. Theirs goes on through the epochs; here
each begins anew, so that an epoch is a function of sizes, seed and number.
"""

from collections.abc import Iterator, Sequence

import torch

from .batches import Cursor

CAP = 2**18  # rows


def batches_per_epoch(lengths: Sequence[Sequence[int]], batch_size: int) -> int:
    """Steps in one epoch."""
    return max(1, sum(map(len, lengths)) // batch_size)


def epoch_batches(lengths: Sequence[Sequence[int]], batch_size: int, seed: int, epoch: int) -> list[list[Cursor]]:
    """Batches of exactly `batch_size` rows; lengths[k] has one number for each example of task k."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    sizes = torch.tensor([min(len(of_task), CAP) for of_task in lengths], dtype=torch.float64)
    rows = [_endless(task, len(of_task), seed, epoch) for task, of_task in enumerate(lengths)]
    return [
        [next(rows[task]) for task in _tasks(sizes, batch_size, generator)]
        for _ in range(batches_per_epoch(lengths, batch_size))
    ]


def _tasks(sizes: torch.Tensor, batch_size: int, generator: torch.Generator) -> list[int]:
    """The task of each row of a batch."""
    most = len(sizes)
    count = int(torch.randint(min(2, most), most + 1, (), generator=generator))
    drawn = torch.multinomial(sizes, min(count, batch_size), replacement=True, generator=generator).tolist()
    share, left = divmod(batch_size, len(drawn))
    extra = drawn[int(torch.randint(len(drawn), (), generator=generator))]
    return [task for task in drawn for _ in range(share)] + [extra] * left


def _endless(task: int, size: int, seed: int, epoch: int) -> Iterator[Cursor]:
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) * 1_009 + task + 1)
    while True:
        for index in torch.randperm(size, generator=generator).tolist():
            yield task, index
