"""What a finished run publishes, and what it reports of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import methods
from registry import Parent, Registry, Run, Version

from .job import Job


@dataclass(frozen=True)
class TaskReport:
    """One task's published version beside its head-only control."""

    task: str
    reference: str
    digest: str
    metric: str
    value: float
    control: float | None  # of a prompt that learns on, none
    parameters: int
    bytes: int


@dataclass(frozen=True)
class RunReport:
    """What a finished run published."""

    run_id: str
    mlflow_run_id: str
    seconds: float
    shared: str | None
    rows: tuple[TaskReport, ...]


@dataclass(frozen=True)
class Edition:
    """Which attempt at which run publishes, whose it is, and the versions that it started and learned from."""

    job: Job
    run: Run
    origins: Sequence[Version]
    teachers: Sequence[Version]
    actor: str
    mlflow_run_id: str


def publish(
    registry: Registry, edition: Edition, artifacts: Mapping[str, Any]
) -> tuple[str | None, tuple[TaskReport, ...]]:
    """One version per task, after the shared prompt that they come from; a repeated call publishes nothing twice."""
    origins = [Parent(version.id, "init") for version in edition.origins]
    origins += [Parent(version.id, "teacher") for version in edition.teachers]
    shared = None
    if artifacts["shared"] and edition.job.shared:
        shared = _version(registry, edition, edition.job.shared, artifacts["shared"], origins)
    parents = [Parent(shared.id, "shared")] if shared else origins
    rows = []
    for name, made in artifacts["tasks"].items():
        version = _version(registry, edition, name, made["blob"], parents)
        metrics: Any = version.card["metrics"]
        rows.append(
            TaskReport(
                task=name,
                reference=version.reference,
                digest=version.digest,
                metric=made["metric"],
                value=metrics[made["metric"]],
                control=metrics.get(f"control_{made['metric']}"),
                parameters=made["parameters"],
                bytes=made["bytes"],
            )
        )
    return shared.reference if shared else None, tuple(rows)


def _version(registry: Registry, edition: Edition, name: str, blob: bytes, parents: Sequence[Parent]) -> Version:
    card = methods.Artifact.from_bytes(blob).card.to_json() | {"mlflow_run_id": edition.mlflow_run_id}
    return registry.publish(
        name,
        blob,
        card,
        idempotency_key=f"{edition.job.run_id}/{name}",
        actor=edition.actor,
        run_id=edition.job.run_id,
        attempt=edition.run.attempt,
        parents=parents,
        after=edition.job.after,
    )
