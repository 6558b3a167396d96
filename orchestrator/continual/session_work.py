"""What the worker of a session's run does: learn one more session, and judge it on all sessions so far."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import methods
from methods.continual import Judge, Learned, Session, continual_method
from methods.continual.version import learned_of
from methods.stored import tensors

from ..data import Data
from ..errors import InvalidSpec
from ..job import Job, TaskJob
from ..reporting import Report
from .card import card_of


class SessionWork:
    """One run of one session, in one worker."""

    def __init__(self, job: Job, start: Sequence[bytes]) -> None:
        self.job = job
        self.backbone = methods.Backbone.load(job.backbone, "cuda" if torch.cuda.is_available() else "cpu")
        self.before = methods.Artifact.from_bytes(start[0]) if start else None
        if self.before:
            self.before.check_backbone(self.backbone.fingerprint)
        self.tasks = (*job.earlier, *job.tasks)
        resolved = [one.resolved() for one in self.tasks]
        every = job.model_copy(update={"tasks": self.tasks})
        self.data = Data(every, self.backbone, resolved, 0, 1)
        self.report = Report(job, 0)

    def run(self) -> dict[str, Any]:
        """The new version's artifact, and what it reaches."""
        spec, new = self.job.spec, len(self.tasks) - 1
        self._check_kind()
        method = continual_method(spec.method, spec.hyperparameters)
        session = Session(self.tasks[new].labels, self.data.examples(new))
        plan = methods.Plan(spec.epochs, spec.batch_size, spec.seed + new)
        before = learned_of(self.before) if self.before else None
        learned = method.learn(self.backbone, before, session, plan, self._watch)
        metrics = judged(judge_of(self.backbone, learned, self.tasks, self.data), learned, self.tasks)
        self.report.send([{"phase": spec.method, "at": time.time(), "done": new, "held_out": {self.name: metrics}}])
        card = card_of(self.job, self.backbone, method, self.before, learned, metrics)
        whole = methods.Artifact(card, learned.form, learned.head, learned.factors)
        made = {
            "blob": whole.to_bytes(),
            "metric": "accuracy",
            "parameters": sum(tensor.numel() for tensor in tensors(learned.head).values()),
            "bytes": whole.nbytes,
        }
        return {
            "results": {spec.method: {self.name: metrics}},
            "artifacts": {"tasks": {self.name: made}, "shared": None},
        }

    @property
    def name(self) -> str:
        """The prompt's."""
        if self.job.spec.name is None:
            raise InvalidSpec("a prompt that learns on needs a name", hint="--name assistant")
        return self.job.spec.name

    def _check_kind(self) -> None:
        known, kind = self.before and self.before.card.task, self.job.tasks[0].task.kind
        if kind not in ("classification", "pair") or (known and known.kind != kind):
            wanted = known.kind if known else "classification or pair"
            raise InvalidSpec(f"task {self.job.tasks[0].task.name!r} is {kind}; a session of {self.name!r} is {wanted}")

    def _watch(self, step: methods.Step) -> None:
        if step.last_of_epoch:
            self.report.send([events_of(self.job.spec.method, step, self.tasks[-1].task.name)])


def judge_of(backbone: methods.Backbone, learned: Learned, tasks: Sequence[TaskJob], data: Data) -> Judge:
    """A judge by the held-out rows of some sessions."""
    tests = [[example for (example, *_) in data.judged(k, "held-out")[1]] for k in range(len(tasks))]
    return Judge(backbone, tests, learned)


def judged(judge: Judge, learned: Learned, tasks: Sequence[TaskJob]) -> dict[str, float]:
    """The accuracy on every session's held-out rows, among all labels known, and the mean over sessions.

    A task that has changed since may have rows of a label that was never learned; they count as wrong.
    """
    known = {label: place for place, label in enumerate(learned.labels)}
    found = {
        one.task.name: judge.accuracy(learned, k, [known.get(label, -1) for label in one.labels])
        for k, one in enumerate(tasks)
    }
    return {"accuracy": sum(found.values()) / len(found)} | {f"accuracy.{name}": value for name, value in found.items()}


def events_of(phase: str, step: methods.Step, task: str) -> Mapping[str, Any]:
    """One epoch's last step, as a run's events have it."""
    return {
        "phase": phase,
        "at": time.time(),
        "step": step.index,
        "total": step.total,
        "rows": step.rows,
        "loss": step.loss,
        "task_losses": {task: step.loss},
        "parts": {},
    }
