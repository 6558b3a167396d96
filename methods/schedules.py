"""How the learning rate goes over a run: a factor on it for every update. A new one is a function and its line."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

WARMUP = 0.06  # share of all steps during which a linear schedule rises

ScheduleName: TypeAlias = Literal["linear", "cosine", "coda-reference"]
Schedule: TypeAlias = Callable[[int, int, int], float]  # updates done, of all, and of one epoch


def linear(done: int, total: int, per_epoch: int) -> float:
    """A rise over the first steps, then a fall to zero."""
    del per_epoch
    warmup = max(1, round(WARMUP * total))
    return (done + 1) / warmup if done < warmup else (total - done) / max(1, total - warmup)


def cosine(done: int, total: int, per_epoch: int) -> float:
    """Half a cosine, from one to zero."""
    del per_epoch
    return (1 + math.cos(math.pi * done / total)) / 2


def coda_reference(done: int, total: int, per_epoch: int) -> float:
    """What CODA-Prompt's reference code does, by epoch: its scheduler starts twice, so two epochs have the full rate.

    Over 20 epochs the last one has 0.0974 of it. One epoch, where the reference divides by zero, has the full rate.
    """
    epoch, epochs = done // per_epoch, -(-total // per_epoch)
    return 1.0 if epoch == 0 or epochs == 1 else math.cos(99 * math.pi * (epoch - 1) / (200 * (epochs - 1)))


SCHEDULES: Mapping[ScheduleName, Schedule] = {"linear": linear, "cosine": cosine, "coda-reference": coda_reference}
