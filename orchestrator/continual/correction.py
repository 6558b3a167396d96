"""What users corrected, learned: borrowed from the server's memory, tried, gated, published, and let go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import methods
from methods.continual import Learned, Session, continual_method
from methods.continual.correcting import ENOUGH, accuracy, corrected
from methods.continual.statistics import MINIMUM
from methods.continual.version import learned_of
from registry import NotFound, Parent, Registry, Version

from ..data import Data
from ..errors import InvalidSpec, Refused
from ..job import Job, TaskJob
from ..progress import Show
from ..runs import earlier
from ..settings import Settings
from ..specs import RunSpec
from .card import CORRECTIONS, grown
from .session_work import judge_of, judged
from .sessions import newest_version


class Desk(Protocol):
    """Where corrections wait: `serve.client.Client`."""

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> dict[str, Any]:
        """Borrow the oldest of a prompt's."""
        ...

    def settle(self, lease: str, outcome: Any) -> int:
        """Say what became of them."""
        ...


@dataclass(frozen=True)
class Corrected:
    """What learning the corrections did; without a version where too few were waiting."""

    version: str | None
    before: str
    corrections: int
    right_before: int
    right: int
    others_before: float  # accuracy on the held-out rows of earlier sessions whose label nobody corrected
    others: float


def correct(
    registry: Registry, name: str, desk: Desk, at_least: int, margin: float, settings: Settings, show: Show
) -> Corrected:
    """Learn the corrections of a prompt that wait, and publish a candidate; what is refused goes on waiting.

    Raises:
        Refused: the corrections are not learned, or all other labels lose more than the margin.
        InvalidSpec: the prompt is not one that learns on, or none of its tasks is here.
    """
    version = corrigible(registry, name)
    lent = desk.lease(name, per_label=MINIMUM)
    rows = lent["rows"]
    if lent["lease"] is None:
        return Corrected(None, version.reference, 0, 0, 0, 0.0, 0.0)
    with _settled(desk, lent["lease"]) as outcome:
        if len(rows) < at_least:
            return Corrected(None, version.reference, len(rows), 0, 0, 0.0, 0.0)
        trial = Trial(registry, version, rows, settings, show)
        found, learned = trial.run()
        _gate(found, margin)
        reference = trial.publish(learned, found, lent["lease"])
        outcome.append("learned")
    return Corrected(reference, *list(vars(found).values())[1:])


@contextmanager
def _settled(desk: Desk, lease: str) -> Iterator[list[str]]:
    """Whatever happens, the server comes to know it; what was not learned waits on."""
    outcome: list[str] = []
    try:
        yield outcome
    finally:
        desk.settle(lease, outcome[0] if outcome else "returned")


class Trial:
    """One attempt at some corrections, in this process: their texts go nowhere else."""

    def __init__(
        self, registry: Registry, version: Version, rows: Sequence[dict[str, Any]], settings: Settings, show: Show
    ) -> None:
        self.registry, self.version, self.show, self.actor = registry, version, show, settings.actor
        self.artifact = methods.Artifact.from_bytes(registry.fetch(version))
        self.backbone = methods.Backbone.load(settings.backbone or self.artifact.card.backbone.name)
        self.artifact.check_backbone(self.backbone.fingerprint)
        self.before = learned_of(self.artifact)
        self.session = self._session(rows)
        tasks = tuple(earlier([version], registry, show))
        if not tasks:
            raise InvalidSpec(
                f"no task of {version.reference} is here, so nothing shows what corrections would break",
                hint="promptctl task add",
            )
        self.tasks = tasks
        self.judge = judge_of(self.backbone, self.before, tasks, self._data(tasks))

    def run(self) -> tuple[Corrected, Learned]:
        """The first weight by which enough corrections are right, or the last one there is."""
        method = continual_method(self.artifact.card.method, self.artifact.card.hyperparameters)
        learned, right = self.before, 0.0
        for tried in corrected(self.backbone, method, self.before, self.session):
            learned, right = tried
            self.show.say(f"{right:.0%} of the corrections are right")
        count = len(self.session.examples)
        found = Corrected(
            version=None,
            before=self.version.reference,
            corrections=count,
            right_before=round(accuracy(self.backbone, self.before, self.session) * count),
            right=round(right * count),
            others_before=self._others(self.before),
            others=self._others(learned),
        )
        return found, learned

    def publish(self, learned: Learned, found: Corrected, lease: str) -> str:
        """The candidate's reference; the same lease is published once."""
        method = continual_method(self.artifact.card.method, self.artifact.card.hyperparameters)
        data = {f"{CORRECTIONS} of {self.version.reference}": {"rows": found.corrections}}
        training = {"start": self.version.reference, "corrections": found.corrections}
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
        )
        return version.reference

    def _others(self, learned: Learned) -> float:
        """The accuracy on the held-out rows whose label nobody corrected."""
        known = {label: index for index, label in enumerate(learned.labels)}
        found = []
        for k, one in enumerate(self.tasks):
            untouched = [index for index, label in enumerate(one.labels) if label not in self.session.labels]
            of = [known.get(label, -1) for label in one.labels]
            found.append(self.judge.right(learned, k, of, untouched))
        right, rows = (sum(column) for column in zip(*found, strict=True))
        return right / rows if rows else 1.0

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


def corrigible(registry: Registry, name: str) -> Version:
    """The version that corrections are of: the one in production, or else the newest.

    Raises:
        NotFound: there is no such prompt.
        InvalidSpec: it does not learn on.
    """
    try:
        version = registry.resolve(name)
    except NotFound:
        version = newest_version(registry, name)
    if version is None:
        raise InvalidSpec(f"prompt {name!r} has no version to correct", hint="train one: --method coda --name NAME")
    if version.card.get("method") != "coda":
        raise InvalidSpec(
            f"{version.reference} is of {version.card.get('method')}, which does not learn on",
            hint="train it on its corrected rows, or use promptctl train --method coda",
        )
    return version


def _gate(found: Corrected, margin: float) -> None:
    fall = found.others_before - found.others
    if found.right < ENOUGH * found.corrections:
        raise Refused(
            f"{found.right} of {found.corrections} corrections are right, not {ENOUGH:.0%}; nothing is published",
            hint="they wait on; correct more rows of the same labels, or look whether they contradict each other",
        )
    if fall > margin:
        raise Refused(
            f"all other labels fall from {found.others_before:.4f} to {found.others:.4f}, more than {margin};"
            " nothing is published",
            hint="the corrections wait on; allow more with --margin, or send more of them",
        )
