"""One cell in whichever process runs it: read, train, judge. What it knows of rows stays in its memory."""

import math
import time
import traceback
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import methods
from methods.baselines import BASELINES, method
from methods.stored import tensors

from ..data import Data
from ..errors import OrchestratorError, RunFailed
from ..job import Job
from ..origins import start_from
from ..specs import Split
from .specs import Cell, Comparison

BYTES = 4  # of one number


def attempt(comparison: str, cell: str, start: tuple[bytes, ...]) -> dict[str, Any]:
    """A cell's line for the comparison's file, from the JSON of both and what it starts from; a failure is a line too.

    Nothing is raised: Ray would try it again and log its text, which may quote a row.
    """
    torch.set_num_threads(1)
    planned, one = Comparison.model_validate_json(comparison), Cell.model_validate_json(cell)
    try:
        outcome = _train_and_judge(planned, one, start)
    except (methods.MethodError, OrchestratorError) as error:
        outcome = {"failed": str(error)}
    except Exception as error:  # noqa: BLE001 - see above
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = {"failed": f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"}
    return line(one, outcome)


def line(cell: Cell, outcome: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a cell: numbers and names."""
    return {"cell": cell.name, "at": time.time()} | cell.model_dump(mode="json") | outcome


def _train_and_judge(comparison: Comparison, cell: Cell, start: tuple[bytes, ...]) -> dict[str, Any]:
    spec, backbone = comparison.spec, _backbone(comparison.job.backbone)
    judged, drawn = zip(*(datasets(comparison, cell, name, start) for name in cell.tasks), strict=True)
    tasks, origin = [one.task for one in judged], start_from(start, cell.start, backbone)
    learner = methods.Learner.new(backbone, method(cell.method, cell.hyperparameters), tasks, cell.seed, origin)
    epochs, batch_size = cell.run_setting("epochs", spec.epochs), cell.run_setting("batch_size", spec.batch_size)
    examples = [one.train[0] for one in drawn]
    plan = methods.Plan(epochs, batch_size, cell.seed)
    began = time.perf_counter()
    if lesson := learner.prompts.distillation:
        teachers = methods.Learner.new(backbone, lesson.teacher, tasks, cell.seed)
        _train(teachers, examples, plan)
        learner.learn_from([teachers.fold(k) for k in range(len(tasks))], examples)
    if list(learner.parameters()):  # a control whose heads are words or free text has none
        _train(learner, examples, plan)
    seconds = (time.perf_counter() - began) / len(judged)
    return {"results": {one.task.name: _judge(learner, k, one) | {"seconds": seconds} for k, one in enumerate(judged)}}


def datasets(
    comparison: Comparison, cell: Cell, task: str, start: tuple[bytes, ...] = ()
) -> tuple["FirstRows", "FirstRows"]:
    """One task's rows as they are judged, for all seeds, and as they are learned from: of few shots, the seed's."""
    by_name = {one.task.name: one for one in comparison.job.tasks}
    whole = comparison.job.model_copy(update={"tasks": (by_name[task],), "start": cell.start})
    shots = cell.run_setting("shots", None)
    drawn = {} if shots is None else {"shots": shots, "seed": cell.seed}
    few = whole.model_copy(update={"spec": whole.spec.model_copy(update=drawn)})
    rows = cell.run_setting("rows", comparison.spec.rows)
    judged, learned = (_data(job.model_dump_json(), start, rows, comparison.spec.test_rows) for job in (whole, few))
    return judged, learned


def _train(learner: methods.Learner, examples: Sequence[Sequence[methods.Example]], plan: methods.Plan) -> None:
    for step in methods.train(learner, examples, plan, methods.Progress(learner.optimizer())):
        if not math.isfinite(step.loss):
            raise RunFailed(f"diverged: the loss was {step.loss} at step {step.index} of {step.total}")
    if not all(torch.isfinite(parameter).all() for parameter in learner.parameters()):
        raise RunFailed("diverged: a weight is not finite after the last step")


def _judge(learner: methods.Learner, k: int, data: "FirstRows") -> dict[str, Any]:
    """The main metric on the held-out rows, and what one more task of this kind costs to keep."""
    rows, encoded = data.judged(0, "held-out")
    card = methods.Card(data.task.name, data.task, learner.method.name, {}, learner.backbone.fingerprint)
    form, head = learner.fold(k)
    artifact = methods.Artifact(card, form, head)
    answers = methods.answers(learner.backbone, artifact, rows, encoded)
    metric = methods.main_metric(data.task)
    own = learner.parameters_per_task()
    return {
        "metric": metric,
        "value": methods.means(methods.totals(data.task, rows, answers))[metric],
        "split": data.held_out,
        "rows": len(rows),
        "parameters": own + sum(tensor.numel() for tensor in tensors(head).values()),
        "bytes": artifact.nbytes + (BYTES * own if learner.method.name in BASELINES else 0),
    }


class FirstRows(Data):
    """One task's rows, of each split no more than the first so many."""

    def __init__(
        self,
        job: Job,
        backbone: methods.Backbone,
        train: int | None,
        judged: int | None,
        start: methods.Start | None = None,
    ) -> None:
        self._first: dict[Split, int | None] = {"train": train, "validation": judged, "test": judged}
        (one,) = job.tasks
        self.task = one.resolved()
        self.held_out = one.held_out
        super().__init__(job, backbone, [self.task], rank=0, world=1, start=start and start.form)

    def _rows(self, k: int, split: Split) -> Sequence[methods.Row]:
        return super()._rows(k, split)[: self._first[split]]


@lru_cache(maxsize=1)
def _backbone(name: str) -> methods.Backbone:
    return methods.Backbone.load(name, "cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=64)
def _data(job: str, start: tuple[bytes, ...], train: int | None, judged: int | None) -> FirstRows:
    planned = Job.model_validate_json(job)
    backbone = _backbone(planned.backbone)
    return FirstRows(planned, backbone, train, judged, start_from(start, planned.start, backbone))
