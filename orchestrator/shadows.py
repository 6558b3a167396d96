"""Training a version's task again as its card says, on other rows: the shadows of an audit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import methods
from methods.continual import CONTINUAL
from methods.privacy.accounting import Mechanism
from methods.privacy.training import sample_rate, train_privately
from registry import Registry

from .answering import Ready
from .data import teaching
from .errors import InvalidSpec
from .job import TaskJob
from .origins import start_from
from .shots import few
from .sources import read
from .spending import recorded
from .start import versions
from .tasks import find

Examples = list[list[methods.Example]]  # of each row of a task


@dataclass(frozen=True)
class Recipe:
    """How a version was trained, and on what besides its own task's rows; `own` is its place among the tasks."""

    backbone: methods.Backbone
    method: methods.Method
    tasks: tuple[methods.Task, ...]
    own: int
    others: tuple[Examples, ...]  # of every task, empty at `own`
    plan: methods.Plan
    start: methods.Start | None
    noise: Mechanism | None  # of a private version

    @classmethod
    def of(cls, registry: Registry, version: Ready) -> "Recipe":
        """Read it from the card; other tasks that it was trained with have the rows that they have now.

        Raises:
            InvalidSpec: the card does not say how it was trained, or it learned from versions that saw all rows.
        """
        card = version.artifact.card
        training: Any = card.training
        if card.method in CONTINUAL:
            raise InvalidSpec(
                f"{version.reference} learned in sessions, by {card.method}; no shadow can learn those again",
                hint="its bytes say more than its answers do, so guard them like the rows; audits are of other methods",
            )
        if card.method not in methods.METHODS or "epochs" not in training:
            raise InvalidSpec(
                f"{version.reference} does not say how it was trained, so nothing like it can be",
                hint="audit a version that promptctl train published",
            )
        if training["teachers"]:
            raise InvalidSpec(f"{version.reference} learned from versions that saw all rows; no shadow can do without")
        text = training["start"]
        blobs = [registry.fetch(one) for one in versions(registry, text)] if text else []
        start = start_from(blobs, text, version.backbone)
        spending = recorded(card.to_json())
        own = training["tasks"].index(version.task.name)
        shots = card.data[version.task.name].get("shots")  # pyright: ignore[reportAttributeAccessIssue] - a mapping in every card that says its epochs
        recipe = cls(
            version.backbone,
            methods.method(card.method, card.hyperparameters),
            (version.task,),
            own,
            (),
            methods.Plan(training["epochs"], training["batch_size"], training["seed"]),
            start,
            spending and spending.noise,
        )
        found = [recipe._other(registry, name, shots) for name in training["tasks"] if name != version.task.name]
        found.insert(own, (version.task, []))
        return replace(recipe, tasks=tuple(task for task, _ in found), others=tuple(rows for _, rows in found))

    def examples(self, task: methods.Task, row: methods.Row) -> list[methods.Example]:
        """What a row teaches."""
        return teaching(task, methods.encode(self.backbone, task, row, self.start and self.start.form))

    def learned(self, rows: Examples) -> tuple[methods.Form, methods.Head]:
        """The prompt and head that the version's task learns from these rows.

        The seed is the version's own: it stands in the card, so whoever attacks knows it.
        """
        data = [*self.others[: self.own], rows, *self.others[self.own + 1 :]]
        learner = methods.Learner.new(self.backbone, self.method, self.tasks, self.plan.seed, self.start)
        if lesson := learner.prompts.distillation:
            teachers = methods.Learner.new(self.backbone, lesson.teacher, self.tasks, self.plan.seed)
            flat = self._train(teachers, data)
            learner.learn_from([teachers.fold(k) for k in range(len(self.tasks))], flat)
        self._train(learner, data)
        return learner.fold(self.own)

    def _train(self, learner: methods.Learner, data: Sequence[Examples]) -> Examples:
        flat = [[one for row in of_task for one in row] for of_task in data]
        progress = methods.Progress(learner.optimizer())
        if self.noise is None:
            steps = methods.train(learner, flat, self.plan, progress)
        else:
            rate = sample_rate(sum(map(len, data)), self.plan.batch_size)
            steps = train_privately(learner, data, self.plan, progress, replace(self.noise, sample_rate=rate))
        for _ in steps:
            pass
        return flat

    def _other(self, registry: Registry, name: str, shots: int | None) -> tuple[methods.Task, Examples]:
        spec = find(registry, name)
        source = read(spec, "train")
        task = TaskJob(task=spec, labels=source.labels, digests={}, rows={}).resolved()
        rows = few(task.kind, source.rows, shots, self.plan.seed)
        return task, [self.examples(task, row) for row in rows]
