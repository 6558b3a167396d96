"""The training loop: a generator that yields one Step per update and can be left and resumed at any of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import deterministic

from .learner import Learner
from .losses import PARTS
from .rows.encoding import Example
from .rows.sampling import SAMPLERS
from .schedules import SCHEDULES

Reduce = Callable[[Tensor], Tensor]  # sums a flat tensor over the workers


@dataclass(frozen=True)
class Plan:
    """How long and in which order; rank and world say which rows of each batch are this worker's."""

    epochs: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Step:
    """One update: mean losses over the whole batch, in nats per row."""

    index: int  # updates done, from 1
    total: int
    epoch: int  # from 0
    last_of_epoch: bool
    rows: int
    loss: float
    task_losses: Mapping[int, float]  # each the mean over the task's rows of what its gradient is of
    parts: Mapping[str, float]  # the mean over all rows of what adds up to it: `Losses.parts`
    signal: int  # the sum of what the workers wished for, the same on all of them


@dataclass
class Progress:
    """What a loop needs to go on where another stopped."""

    optimizer: torch.optim.Optimizer
    done: int = 0
    wish: Callable[[], int] = field(default=lambda: 0)  # a number that all workers come to see at the same step


def train(
    learner: Learner,
    data: Sequence[Sequence[Example]],
    plan: Plan,
    progress: Progress,
    reduce: Reduce = lambda t: t,
) -> Iterator[Step]:
    """Train on data[k] (the examples of task k), beginning after `progress.done` updates.

    The gradient is the mean over the rows of the whole batch: workers sum theirs, so the result does not depend on
    their number beyond the order of floating-point sums.
    """
    lengths = [[example.length for example in examples] for examples in data]
    sampler = SAMPLERS[learner.prompts.sampling]
    per_epoch = sampler.batches_per_epoch(lengths, plan.batch_size)
    total = per_epoch * plan.epochs
    schedule = SCHEDULES[learner.prompts.schedule]
    rates = [group["lr"] for group in progress.optimizer.param_groups]
    for epoch in range(progress.done // per_epoch, plan.epochs):
        batches = sampler.epoch_batches(lengths, plan.batch_size, plan.seed, epoch)
        for place in range(progress.done % per_epoch, len(batches)):
            batch = sorted(batches[place], key=lambda cursor: (lengths[cursor[0]][cursor[1]], cursor))
            rows = [(task, data[task][index]) for task, index in batch]
            scale = schedule(progress.done, total, per_epoch)
            for group, rate in zip(progress.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            with _repeatable(learner.backbone.device):
                sums, parts, signal = _accumulate(learner, rows, plan, progress, reduce)
            progress.optimizer.step()
            progress.done += 1
            yield Step(
                index=progress.done,
                total=total,
                epoch=epoch,
                last_of_epoch=place + 1 == len(batches),
                rows=len(rows),
                loss=sum(loss for loss, _ in sums.values()) / len(rows),
                task_losses={task: loss / count for task, (loss, count) in sums.items()},
                parts={name: value / len(rows) for name, value in parts.items()},
                signal=signal,
            )


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Equal bytes for equal input on a CPU, where threads otherwise add a gather's gradients in any order.

    Nothing here reads memory before writing it, so torch need not fill it first.
    """
    memory: Any = deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    memory.fill_uninitialized_memory = filled and before
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


def _accumulate(
    learner: Learner, rows: Sequence[tuple[int, Example]], plan: Plan, progress: Progress, reduce: Reduce
) -> tuple[dict[int, tuple[float, int]], dict[str, float], int]:
    """Put the batch's mean gradient into every parameter.

    What is summed over all workers comes back: the loss and the row count of each task, the parts of the loss, the
    wishes.
    """
    progress.optimizer.zero_grad(set_to_none=False)
    sums: defaultdict[int, float] = defaultdict(float)
    parts: defaultdict[str, float] = defaultdict(float)
    for losses in learner.losses(rows[plan.rank :: plan.world]):
        if losses.total.requires_grad:  # not of rows whose head learns nothing, where there is no prompt either
            (losses.total.sum() / len(rows)).backward()
        for task in losses.tasks.unique().tolist():
            sums[task] += losses.total.detach()[losses.tasks == task].sum().item()
        for name, part in losses.parts.items():
            parts[name] += part.sum().item()
    counts = {task: sum(1 for owner, _ in rows if owner == task) for task in {owner for owner, _ in rows}}
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    order, names = sorted(counts), PARTS if learner.taught else PARTS[:1]
    extra = [*(sums[task] for task in order), *(parts[name] for name in names), float(progress.wish())]
    grads = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
    flat = reduce(torch.cat([*grads, torch.tensor(extra, device=grads[0].device)]))
    place = 0
    for parameter in parameters:
        parameter.grad = flat[place : place + parameter.numel()].view_as(parameter)
        place += parameter.numel()
    totals = flat[place:].tolist()
    found = {task: (totals[i], counts[task]) for i, task in enumerate(order)}
    return found, dict(zip(names, totals[len(order) :], strict=False)), round(totals[-1])
