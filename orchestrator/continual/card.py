"""What a version that learns on says of itself: its sessions, in order, and the digests of its blocks."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import methods
from methods.continual import ContinualMethod, Learned
from methods.continual.statistics import MINIMUM
from methods.continual.version import block_digests
from methods.heads import SessionsHead
from registry import Version

from ..job import Job

CORRECTIONS = "(corrections)"  # the name of a session that corrections were learned in; no task can have it


def card_of(
    job: Job,
    backbone: methods.Backbone,
    method: ContinualMethod,
    before: methods.Artifact | None,
    learned: Learned,
    metrics: Mapping[str, float],
) -> methods.Card:
    """The card after a session of one task."""
    (one,) = job.tasks
    data = {one.task.name: {"rows": one.rows, "sha256": one.digests}}
    training = {"epochs": job.spec.epochs, "batch_size": job.spec.batch_size, "seed": job.spec.seed, "start": job.start}
    return grown(
        backbone, str(job.spec.name), one.task.kind, method, before, learned, one.task.name, data, metrics, training
    )


def grown(
    backbone: methods.Backbone,
    name: str,
    kind: methods.Kind,
    method: ContinualMethod,
    before: methods.Artifact | None,
    learned: Learned,
    session: str,
    data: Mapping[str, object],
    metrics: Mapping[str, float],
    training: Mapping[str, object],
) -> methods.Card:
    """The card of `before` with one more session."""
    rows = head_rows(before, learned)
    return methods.Card(
        name=name,
        task=methods.Task(name, kind, learned.labels),
        method=method.name,
        hyperparameters=dict(vars(method)),
        backbone=backbone.fingerprint,
        metrics=metrics,
        data={**(before.card.data if before else {}), **data},
        training=dict(training)
        | {"sessions": [*sessions(before), session], "blocks": block_digests(learned, rows)}
        | ({"head_rows": rows} if rows else {})
        | ({"statistics": statistics(learned)} if "sums" in learned.factors else {}),
        package_version=version("promptctl"),
    )


def statistics(learned: Learned) -> dict[str, object]:
    """What a version says of the sums that it keeps."""
    counts = learned.factors.get("counts")
    return {
        "kept": sorted(learned.factors),
        "minimum": MINIMUM,  # different rows of each label in a session
        "rows": None if counts is None else int(counts.sum()),
        "guard": "like the rows: with the backbone they tell whether a given text was among few, and what it was like",
    }


def head_rows(before: methods.Artifact | None, learned: Learned) -> list[int]:
    """How many rows of the head came with each session, where it never changes one that it has."""
    if not isinstance(learned.head, SessionsHead) or "sums" in learned.factors:
        return []
    found: Any = before.card.training.get("head_rows", []) if before else []
    return [*found, len(learned.head.of) - sum(found)]


def sessions_of(version: Version) -> list[str]:
    """The same, of a version's record."""
    training: Any = version.card.get("training", {})
    return [str(one) for one in training.get("sessions", [])]


def sessions(artifact: methods.Artifact | None) -> list[str]:
    """The names of the sessions that a version has learned, in order."""
    found = artifact.card.training.get("sessions", []) if artifact else []
    return [str(one) for one in found] if isinstance(found, list) else []
