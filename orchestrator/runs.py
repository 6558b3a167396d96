"""One run, from a spec to published versions: check the data, train on Ray Train, publish, report."""

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import methods
from registry import Parent, Registry, RegistryError, Run

from . import events
from .access import opened
from .errors import InvalidSpec
from .fitting import fit
from .job import Job, TaskJob
from .progress import Show, shown
from .settings import Settings
from .sources import Source, read
from .specs import RunReport, RunSpec, Split, TaskReport, TaskSpec
from .tasks import find
from .tracking import Tracker


def train(spec: RunSpec, settings: Settings, show: Show) -> RunReport:
    """A new run. Nothing is published unless all of it succeeds."""
    with opened(settings) as registry:
        job = plan(spec, settings, registry, show)
        run = registry.start_run(job.run_id, job.model_dump(mode="json"), actor=settings.actor)
        return _carry_out(job, run, settings, registry, show)


def resume(run_id: str, settings: Settings, show: Show) -> RunReport:
    """Go on with a run that was stopped, from its newest checkpoint; its data and settings are those it began with."""
    with opened(settings) as registry:
        run = registry.run(run_id)
        job = Job.model_validate(run.config)
        for one in job.tasks:
            _check_unchanged(one)
        run = registry.resume_run(run_id)
        found = events.last_checkpoint(Path(job.events))
        show.say(f"resuming {run_id} from " + ("its newest checkpoint" if found else "the start: it has no checkpoint"))
        return _carry_out(job.model_copy(update={"resume_from": found}), run, settings, registry, show)


def plan(spec: RunSpec, settings: Settings, registry: Registry, show: Show) -> Job:
    """Everything that can be found wrong before anything is started is found here."""
    methods.method(spec.method, spec.hyperparameters)
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    tasks = tuple(_check(find(registry, name), show) for name in spec.tasks)
    start = _start(registry, spec)
    return Job(
        run_id=run_id,
        spec=spec,
        backbone=spec.backbone or settings.backbone or methods.DEFAULT_BACKBONE,
        tasks=tasks,
        events=str(settings.runs / run_id / "events.jsonl"),
        checkpoint_s=settings.checkpoint_s,
        start=start,
        threads=max(1, (os.cpu_count() or 1) // max(1, spec.workers)),
    )


def _check(task: TaskSpec, show: Show) -> TaskJob:
    """Read all of a task's files once: bad rows, labels and digests are known before workers start."""
    show.say(f"checking the rows of {task.name}")
    first = read(task, "train")
    found: dict[Split, Source] = {"train": first, "validation": read(task, "validation", first.labels)}
    if task.test is not None:
        found["test"] = read(task, "test", first.labels)
    for split, source in found.items():
        for bad in source.bad[:3]:
            show.say(f"{task.name}: {split} leaves out {bad.file}:{bad.line}: {bad.reason}")
        if not source.rows:
            raise InvalidSpec(f"the {split} file of task {task.name!r} has no usable row")
    methods.Task(task.name, task.kind, first.labels)
    return TaskJob(
        task=task,
        labels=first.labels,
        digests={split: source.sha256 for split, source in found.items()},
        rows={split: len(source.rows) for split, source in found.items()},
    )


def _check_unchanged(one: TaskJob) -> None:
    for split, digest in one.digests.items():
        if read(one.task, split, one.labels).sha256 != digest:  # pyright: ignore[reportArgumentType]
            raise InvalidSpec(
                f"the {split} file of task {one.task.name!r} changed since the run began",
                hint="start a new run: promptctl train",
            )


def _start(registry: Registry, spec: RunSpec) -> str | None:
    """The pinned reference of the shared prompt to start from; a bare name means its newest version."""
    if spec.shared_from is None:
        return None
    kind, _, rest = spec.shared_from.partition(":")
    if kind != "shared" or not rest:
        raise InvalidSpec(f"--from {spec.shared_from!r} is not a shared prompt", hint="write shared:NAME")
    name = f"shared/{rest}"
    if "@" in rest or ":" in rest:
        return registry.resolve(name).reference
    ready = [version for version in registry.versions(name) if version.state == "READY"]
    return ready[0].reference if ready else registry.resolve(name).reference


def _carry_out(job: Job, run: Run, settings: Settings, registry: Registry, show: Show) -> RunReport:
    began = time.monotonic()
    folder = Path(job.events).parent
    folder.mkdir(parents=True, exist_ok=True)
    tracker = Tracker(settings.tracking_uri, Path(job.events), job, run.mlflow_run_id, show.say)
    with _finished(registry, run, tracker, show):
        with tracker.following(), shown(show, Path(job.events)):
            start = registry.fetch(registry.resolve(job.start)) if job.start else None
            result = fit(job, run.attempt, start, settings, show)
        show.say("publishing")
        shared, rows = publish(job, run, result, settings, registry, tracker.run_id)
    return RunReport(job.run_id, tracker.run_id, time.monotonic() - began, shared, rows)


@contextmanager
def _finished(registry: Registry, run: Run, tracker: Tracker, show: Show) -> Iterator[None]:
    """Whatever happens in the block, the registry comes to know how the attempt ended."""

    def finish(status: Any, code: str = "") -> None:
        registry.finish_run(run.id, attempt=run.attempt, status=status, error_code=code, mlflow_run_id=tracker.run_id)

    try:
        yield
    except KeyboardInterrupt:
        finish("INTERRUPTED", "interrupted")
        show.say(f"stopped; to go on: promptctl train --resume {run.id}")
        raise
    except Exception as error:
        with suppress(RegistryError):  # what failed may be the registry itself; the first error is the one to tell
            finish("FAILED", getattr(error, "code", "unexpected"))
        raise
    finish("SUCCEEDED")


def publish(
    job: Job, run: Run, result: Mapping[str, Any], settings: Settings, registry: Registry, mlflow_run_id: str
) -> tuple[str | None, tuple[TaskReport, ...]]:
    """One version per task, after the shared prompt that they come from; a repeated call publishes nothing twice."""

    def version(name: str, blob: bytes, parents: list[Parent]) -> Any:
        card = methods.Artifact.from_bytes(blob).card.to_json() | {"mlflow_run_id": mlflow_run_id}
        return registry.publish(
            name,
            blob,
            card,
            idempotency_key=f"{job.run_id}/{name}",
            actor=settings.actor,
            run_id=job.run_id,
            attempt=run.attempt,
            parents=parents,
        )

    origin = [Parent(registry.resolve(job.start).id, "init")] if job.start else []
    artifacts = result["artifacts"]
    shared = version(f"shared/{job.spec.name}", artifacts["shared"], origin) if artifacts["shared"] else None
    parents = [Parent(shared.id, "shared")] if shared else origin
    rows = []
    for name, made in artifacts["tasks"].items():
        published = version(name, made["blob"], parents)
        metrics = published.card["metrics"]
        rows.append(
            TaskReport(
                task=name,
                reference=published.reference,
                digest=published.digest,
                metric=made["metric"],
                value=metrics[made["metric"]],
                control=metrics[f"control_{made['metric']}"],
                parameters=made["parameters"],
                bytes=made["bytes"],
            )
        )
    return shared.reference if shared else None, tuple(rows)
