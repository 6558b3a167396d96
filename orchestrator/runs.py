"""One run, from a spec to published versions: check the data, train on Ray Train, publish."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import methods
from methods.continual import CONTINUAL
from methods.hyperparameters import configured
from methods.rows.slots import check_template
from registry import Registry, RegistryError, Run, Version

from . import events
from .access import opened
from .continual.card import CORRECTIONS, sessions_of
from .errors import InvalidSpec, SourceNotFound
from .fitting import Given, fit
from .job import Job, TaskJob
from .progress import Show, shown
from .publishing import Edition, RunReport, publish
from .settings import Settings
from .shots import few, shortages
from .sources import Source, read
from .specs import RunSpec, Split, TaskSpec, parse
from .spending import Spending, planned
from .start import pinned, versions
from .tasks import find
from .threads import per_worker
from .tracking import Tracker


def train(spec: RunSpec, settings: Settings, show: Show, after: int | None = None) -> RunReport:
    """A new run. Nothing is published unless all of it succeeds, and `after` is still the prompt's newest version."""
    with opened(settings) as registry:
        job = plan(spec, settings, registry, show).model_copy(update={"after": after})
        run = registry.start_run(job.run_id, job.model_dump(mode="json"), actor=settings.actor)
        return _carry_out(job, run, settings, registry, show)


def resume(run_id: str, settings: Settings, show: Show) -> RunReport:
    """Go on with a run that was stopped, from its newest checkpoint; its data and settings are those it began with."""
    with opened(settings) as registry:
        run = registry.run(run_id)
        job = parse(Job, run.config, f"run {run_id!r}")
        for one in job.tasks:
            _check_unchanged(one)
        run = registry.resume_run(run_id)
        found = events.last_checkpoint(Path(job.events))
        show.say(f"resuming {run_id} from " + ("its newest checkpoint" if found else "the start: it has no checkpoint"))
        return _carry_out(job.model_copy(update={"resume_from": found}), run, settings, registry, show)


def plan(spec: RunSpec, settings: Settings, registry: Registry, show: Show) -> Job:
    """Everything that can be found wrong before anything is started is found here."""
    registry.check_signer()
    method = configured({**methods.METHODS, **CONTINUAL}, spec.method, spec.hyperparameters)
    taught = bool(getattr(method, "distillation", 0))
    if (taught or spec.teachers is not None) and (spec.start or len(spec.tasks) < 2 or not taught):
        raise InvalidSpec(
            "teachers are for the tasks that mpt trains together from scratch",
            hint="--method mpt --set distillation=0.9, several --tasks, and no --from",
        )
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    start = spec.start and pinned(registry, spec.start)
    tasks = tuple(_check(find(registry, name), spec, show) for name in spec.tasks)
    teachers = spec.teachers and pinned(registry, spec.teachers, "--teachers")
    rows = sum(task.rows["train"] for task in tasks)
    origins = versions(registry, start) if start else []
    dp = None if spec.method in CONTINUAL else planned(spec, rows, run_id, origins)
    for line in _private(dp, rows) if dp else ():
        show.say(line)
    return Job(
        run_id=run_id,
        spec=spec,
        backbone=spec.backbone or settings.backbone or methods.DEFAULT_BACKBONE,
        tasks=tasks,
        events=str(settings.runs / run_id / "events.jsonl"),
        checkpoint_s=settings.checkpoint_s,
        start=start,
        teachers=teachers,
        dp=dp,
        earlier=tuple(earlier(origins, registry, show)) if spec.method in CONTINUAL else (),
        threads=per_worker(spec.workers),
    )


def _check(task: TaskSpec, spec: RunSpec, show: Show) -> TaskJob:
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
    for line in shortages(task.kind, first.labels, first.rows, spec.shots) if spec.shots else ():
        show.say(f"{task.name}: {line}")
    rows = {split: len(source.rows) for split, source in found.items()}
    job = TaskJob(
        task=task,
        labels=first.labels,
        digests={split: source.sha256 for split, source in found.items()},
        rows=rows | {"train": len(few(task.kind, first.rows, spec.shots, spec.seed))},
        session=spec.method in CONTINUAL and spec.start is not None,
    )
    text_prompt = job.resolved().text_prompt
    for template in text_prompt.templates if text_prompt else ():
        check_template(template, task.kind)
    return job


def earlier(origins: Sequence[Version], registry: Registry, show: Show) -> Iterator[TaskJob]:
    """The sessions before, as far as their tasks are still there: a session is judged by their held-out rows too."""
    known = {task.name for task in registry.tasks()}
    for version in origins:
        for name in sessions_of(version):
            if name in known:
                try:
                    yield _held_out(find(registry, name), version)
                except SourceNotFound:
                    show.say(f"the held-out rows of task {name} are not where it says, so it is not judged")
            elif name != CORRECTIONS:
                show.say(f"task {name} of an earlier session is no longer there, so it is not judged")


def _held_out(task: TaskSpec, version: Version) -> TaskJob:
    """An earlier session's held-out rows, of labels known by then; its training rows may be gone."""
    answers: Any = version.card["task"]
    split: Split = "validation" if task.test is None else "test"
    labels = tuple(task.labels or answers["labels"])
    source = read(task, split, labels)  # a label from the rows alone may be what somebody wrote
    return TaskJob(task=task, labels=labels, digests={split: source.sha256}, rows={split: len(source.rows)})


def _private(dp: Spending, rows: int) -> Iterator[str]:
    """What to know of a private run before it starts."""
    yield f"private: epsilon {dp.epsilon:.3g} at delta {dp.delta:g}, noise {dp.noise_multiplier:.3g} times the clip"
    if len(dp.runs) > 1:
        yield f"with the runs that it starts from: epsilon {dp.total.epsilon:.3g} at delta {dp.total.delta:g}"
    for reference in dp.uncounted:
        yield f"{reference} was trained without a budget: nothing bounds what it says of its own rows"
    if dp.delta * rows >= 1:
        yield f"delta {dp.delta:g} allows to publish one of {rows} rows as it is; give less than {1 / rows:.1g}"


def _check_unchanged(one: TaskJob) -> None:
    for split, digest in one.digests.items():
        if read(one.task, split, one.labels).sha256 != digest:  # pyright: ignore[reportArgumentType]
            raise InvalidSpec(
                f"the {split} file of task {one.task.name!r} changed since the run began",
                hint="start a new run: promptctl train",
            )


def _carry_out(job: Job, run: Run, settings: Settings, registry: Registry, show: Show) -> RunReport:
    began = time.monotonic()
    folder = Path(job.events).parent
    folder.mkdir(parents=True, exist_ok=True)
    tracker = Tracker(settings, Path(job.events), job, run.mlflow_run_id, show.say)
    with _finished(registry, run, tracker, show):
        with tracker.following(), shown(show, Path(job.events)):
            origins, teachers = (versions(registry, named) if named else [] for named in (job.start, job.teachers))
            given = Given(list(map(registry.fetch, origins)), list(map(registry.fetch, teachers)))
            result = fit(job, run.attempt, given, settings, show)
        show.say("publishing")
        edition = Edition(job, run, origins, teachers, settings.actor, tracker.run_id)
        shared, rows = publish(registry, edition, result["artifacts"])
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
