"""Some corrections tried on a version: learned, judged on what was known before, gated, and published."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import methods
from methods.continual import Learned, Session, continual_method
from methods.continual.correcting import accuracy, corrected
from methods.continual.version import learned_of
from registry import Parent, Registry, Version

from ..data import Data
from ..job import Job, TaskJob
from ..progress import Show
from ..runs import earlier
from ..settings import Settings
from ..specs import RunSpec
from .card import CORRECTIONS, grown
from .gate import Held, check, together
from .session_work import judge_of, judged


@dataclass(frozen=True)
class Corrected:
    """What learning the corrections did; without a version where too few were waiting."""

    version: str | None
    before: str
    corrections: int
    right_before: int
    right: int
    held_out_before: float  # accuracy on the held-out rows of earlier sessions
    held_out: float


class Trial:
    """One attempt at some corrections of `version`, in this process: their texts go nowhere else.

    `after` is the number of the prompt's newest version, which it still has to be when this is published.
    """

    def __init__(
        self,
        registry: Registry,
        version: Version,
        after: int,
        rows: Sequence[dict[str, Any]],
        settings: Settings,
        show: Show,
    ) -> None:
        self.registry, self.version, self.after, self.show = registry, version, after, show
        self.actor = settings.actor
        self.artifact = methods.Artifact.from_bytes(registry.fetch(version))
        self.backbone = methods.Backbone.load(settings.backbone or self.artifact.card.backbone.name)
        self.artifact.check_backbone(self.backbone.fingerprint)
        self.before = learned_of(self.artifact)
        self.session = self._session(rows)
        self.tasks = tuple({one.task.name: one for one in earlier([version], registry, show)}.values())
        self.judge = judge_of(self.backbone, self.before, self.tasks, self._data(self.tasks))

    def run(self) -> tuple[Corrected, Learned]:
        """The first weight by which enough corrections are right, or the last one there is."""
        method = continual_method(self.artifact.card.method, self.artifact.card.hyperparameters)
        learned, right = self.before, 0.0
        for tried in corrected(self.backbone, method, self.before, self.session):
            learned, right = tried
            self.show.say(f"{right:.0%} of the corrections are right")
        count = len(self.session.examples)
        every = [self._held(k, learned) for k in range(len(self.tasks))]
        rows = sum(one.rows for one in every) or 1
        found = Corrected(
            version=None,
            before=self.version.reference,
            corrections=count,
            right_before=round(accuracy(self.backbone, self.before, self.session) * count),
            right=round(right * count),
            held_out_before=sum(one.before for one in every) / rows,
            held_out=sum(one.after for one in every) / rows,
        )
        return found, learned

    def check(self, found: Corrected, learned: Learned, margin: float) -> None:
        """The gate.

        Raises:
            Refused: it does not let this through.
        """
        sessions = {one.task.name: self._held(k, learned) for k, one in enumerate(self.tasks)}
        others = {one.task.name: self._held(k, learned, self.session.labels) for k, one in enumerate(self.tasks)}
        check(found.right, found.corrections, sessions, together(others), margin)

    def publish(self, learned: Learned, found: Corrected, lease: str) -> str:
        """The candidate's reference; the same lease is published once."""
        method = continual_method(self.artifact.card.method, self.artifact.card.hyperparameters)
        data = {f"{CORRECTIONS} of {self.version.reference}": {"rows": found.corrections}}
        training = {"start": self.version.reference, "corrections": found.corrections, "lease": lease}
        card = grown(
            self.backbone, self.version.name, self.kind, method, self.artifact, learned, CORRECTIONS, data,
            judged(self.judge, learned, self.tasks), training,
        )  # fmt: skip
        blob = methods.Artifact(card, learned.form, learned.head, learned.factors).to_bytes()
        version = self.registry.publish(
            self.version.name,
            blob,
            card.to_json(),
            idempotency_key=f"correct/{lease}",
            actor=self.actor,
            parents=[Parent(self.version.id, "init")],
            message=f"{found.corrections} corrections",
            after=self.after,
        )
        return version.reference

    def _held(self, k: int, learned: Learned, without: Sequence[str] = ()) -> Held:
        """A session's held-out rows, but those of some labels."""
        labels = self.tasks[k].labels
        only = [index for index, label in enumerate(labels) if label not in without]
        right = []
        for one in (self.before, learned):
            of = [one.labels.index(label) if label in one.labels else -1 for label in labels]
            right.append(self.judge.right(one, k, of, only))
        (before, rows), (after, _) = right
        return Held(rows, before, after)

    @property
    def kind(self) -> methods.Kind:
        """What the prompt's rows are."""
        return self.artifact.card.task.kind if self.artifact.card.task else "classification"

    def _session(self, rows: Sequence[dict[str, Any]]) -> Session:
        labels = tuple(sorted({str(row["label"]) for row in rows}))
        task = methods.Task("corrections", self.kind, labels if len(labels) > 1 else (*labels, ""))
        found = [methods.Row(row["text"], row.get("text_pair"), label=row["label"]) for row in rows]
        return Session(labels, [methods.encode(self.backbone, task, row)[0] for row in found])

    def _data(self, tasks: tuple[TaskJob, ...]) -> Data:
        job = Job(
            run_id="corrections",
            spec=RunSpec(tasks=("corrections",)),
            backbone=self.backbone.fingerprint.name,
            tasks=tasks,
            events="",
            checkpoint_s=0,
            threads=1,
        )
        return Data(job, self.backbone, [one.resolved() for one in tasks], 0, 1)
