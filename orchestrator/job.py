"""What a run's workers are told: where the rows are and what to do with them, never the rows."""

from typing import Any

from pydantic import Field

import methods

from .errors import InvalidSpec
from .specs import RunSpec, Spec, Split, TaskSpec
from .spending import Spending


class TaskJob(Spec):
    """One task as the driver found it; the worker reads the same bytes or refuses."""

    task: TaskSpec
    labels: tuple[str, ...]
    digests: dict[str, str]  # split -> sha256 of the file
    rows: dict[str, int]  # split -> good rows; of a few-shot run, the training rows that it draws
    session: bool = False  # whether it is learned beside labels that are known, so that one of its own is enough

    @property
    def held_out(self) -> Split:
        """The split that a version is judged by."""
        return "test" if "test" in self.digests else "validation"

    def resolved(self) -> methods.Task:
        """The task as methods know it.

        Raises:
            InvalidSpec: the verbalizer's labels are not those of the rows.
            InvalidSetting: too few labels.
        """
        name, wording = self.task.name, self.task.text_prompt
        if self.session and len(self.labels) == 1:
            return methods.Task(name, self.task.kind, (*self.labels, ""))
        if wording is None:
            return methods.Task(name, self.task.kind, self.labels)
        try:
            words = wording.words(self.labels)
        except ValueError as error:
            raise InvalidSpec(f"task {name!r}: {error}") from error
        return methods.Task(name, self.task.kind, self.labels, methods.TextPrompt(wording.templates, words))


class Job(Spec):
    """Everything a worker needs, as JSON."""

    run_id: str
    spec: RunSpec
    backbone: str
    tasks: tuple[TaskJob, ...]
    events: str  # the events file, for a run without a cluster
    checkpoint_s: float
    resume_from: str | None = None
    start: str | None = None  # the versions to start from, pinned
    teachers: str | None = None  # the versions to learn from, pinned
    dp: Spending | None = None  # of a private run
    after: int | None = None  # of a session: the newest version of its prompt as it begins, 0 for none
    earlier: tuple[TaskJob, ...] = ()  # the sessions before, by whose held-out rows a session is judged as well
    threads: int = Field(ge=1)

    @property
    def shared(self) -> str | None:
        """What the shared prompt is published as; nothing, unless it is said, where nothing new is shared."""
        name = self.spec.name or (None if self.start or len(self.tasks) < 2 else "default")
        return name and f"shared/{name}"

    def facts(self) -> dict[str, Any]:
        """What must not change between a checkpoint and its resumption."""
        return {
            "spec": self.spec.model_dump(mode="json", exclude={"workers"}),
            "backbone": self.backbone,
            "data": [job.digests for job in self.tasks],
            "start": self.start,
            "teachers": self.teachers,
        }
