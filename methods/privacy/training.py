"""DP-SGD: Abadi et al. (2016), "Deep Learning with Differential Privacy", algorithm 1.

Every row of every task is in a batch with the same chance and by itself (Poisson sampling), its gradient is clipped,
and the sum gets Gaussian noise. Its mean over the expected batch goes to the optimizer of every other run, AdamW: what
is done with a private gradient spends nothing more.

Batches and noise come from a generator that the operating system seeds, never from the run's seed: that stands in the
card, and who knows it could take the noise away again. So two private runs never give the same bytes. The generator is
torch's, not a cryptographic one.
"""

import secrets
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..learner import Learner
from ..rows.encoding import Example
from ..schedules import SCHEDULES
from ..training import Plan, Progress, Step
from .accounting import Mechanism
from .clipping import Unit, check_private, clipped_sum, row_gradients


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Steps after which each row was drawn once on average."""
    return max(1, -(-rows // batch_size))


def sample_rate(rows: int, batch_size: int) -> float:
    """The chance of a row to be in a batch of so many expected rows."""
    return min(1.0, batch_size / rows)


def drawn(rows: int, rate: float, generator: torch.Generator) -> list[int]:
    """A Poisson sample: the places of rows that are each in it with this chance, whatever the others."""
    return (torch.rand(rows, generator=generator) < rate).nonzero().flatten().tolist()


def train_privately(
    learner: Learner,
    data: Sequence[Sequence[Sequence[Example]]],
    plan: Plan,
    progress: Progress,
    mechanism: Mechanism,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Train on data[k][i], the examples of row i of task k, beginning after `progress.done` updates.

    A step's loss is not a number and its rows are those expected: the true ones are not private.

    Raises:
        InvalidSetting: a row's share of a step is not bounded (`check_private`).
    """
    check_private(learner)
    secret = generator or torch.Generator().manual_seed(secrets.randbits(63))
    units: list[Unit] = [(task, examples) for task, rows in enumerate(data) for examples in rows]
    per_epoch = steps_per_epoch(len(units), plan.batch_size)
    total = per_epoch * plan.epochs
    schedule = SCHEDULES[learner.prompts.schedule]
    rates = [group["lr"] for group in progress.optimizer.param_groups]
    for done in range(progress.done, total):
        for group, rate in zip(progress.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(done, total, per_epoch)
        batch = [units[place] for place in drawn(len(units), mechanism.sample_rate, secret)]
        _put(learner, private_sum(learner, batch, mechanism, secret) / (mechanism.sample_rate * len(units)))
        progress.optimizer.step()
        progress.done = done + 1
        yield Step(
            index=progress.done,
            total=total,
            epoch=done // per_epoch,
            last_of_epoch=progress.done % per_epoch == 0,
            rows=round(mechanism.sample_rate * len(units)),
            loss=float("nan"),
            task_losses={},
            parts={},
            signal=progress.wish(),
        )


def private_sum(learner: Learner, units: Sequence[Unit], mechanism: Mechanism, generator: torch.Generator) -> Tensor:
    """The sum [M] of the rows' clipped gradients, and noise of deviation noise_multiplier * clip on every number."""
    size = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
    noise = torch.randn(size, generator=generator) * (mechanism.noise_multiplier * mechanism.clip)
    total = noise.to(learner.backbone.device)
    for gradients in row_gradients(learner, units):
        total += clipped_sum(gradients, mechanism.clip)
    return total


def _put(learner: Learner, gradient: Tensor) -> None:
    """A gradient [M] into the parameters that train."""
    place = 0
    for parameter in learner.parameters():
        if parameter.requires_grad:
            parameter.grad = gradient[place : place + parameter.numel()].view_as(parameter)
            place += parameter.numel()
