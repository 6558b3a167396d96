"""Multitask prompt tuning with teachers, whose states are kept after one pass, against the same without."""

import torch

from methods import Backbone, Learner, Plan, Progress, train

from ._sentences import sentences
from ._turns import Results, in_turn, result
from .training import BATCH, new_learner

TASKS, ROWS = 4, 240
MOST = 1.5  # of the time without teachers


def measure() -> Results:
    """An epoch of four tasks, after the pass in which the teachers read every row once."""
    torch.set_num_threads(2)
    backbone = Backbone.load()
    examples = sentences(backbone, ROWS)
    data = [examples[task::TASKS] for task in range(TASKS)]
    plain, taught = (new_learner(backbone, "mpt", TASKS, distillation=weight) for weight in (0.0, 0.9))
    teachers = [new_learner(backbone, "prefix-tuning", TASKS).fold(task) for task in range(TASKS)]
    taught.learn_from(teachers, data)

    def epoch(learner: Learner) -> None:
        for _ in train(learner, data, Plan(1, BATCH, 0), Progress(learner.optimizer())):
            pass

    with_teachers, without, reading = in_turn(
        lambda: epoch(taught), lambda: epoch(plain), lambda: taught.learn_from(teachers, data), turns=5
    )
    what = (
        f"{ROWS / with_teachers:.0f} rows/s, without teachers {ROWS / without:.0f}; once: {ROWS / reading:.0f} rows/s"
    )
    return [result("distillation", with_teachers / without, MOST, what, at_most=True)]
