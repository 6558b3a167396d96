"""Tasks learned one after the other: a run and a version for each, every one from the version before."""

from collections.abc import Iterator
from typing import Any

from methods.continual import continual_method
from registry import NotFound, Registry, Version

from .. import runs
from ..access import opened
from ..errors import InvalidSpec
from ..progress import Show
from ..publishing import RunReport
from ..settings import Settings
from ..specs import RunSpec, TaskSpec
from ..start import pinned
from ..tasks import find


def learn(spec: RunSpec, settings: Settings, show: Show) -> Iterator[RunReport]:
    """The report of each session's run, in the order of the tasks.

    Raises:
        InvalidSpec: what these sessions cannot have, found before the first of them.
    """
    with opened(settings) as registry:
        check(spec, registry)
    for task in spec.tasks:
        with opened(settings) as registry:
            newest = None if spec.start else newest_version(registry, str(spec.name))
        start = spec.start or (newest and newest.reference)
        show.say(f"session {task}" + (f", from {start}" if start else ""))
        yield runs.train(spec.model_copy(update={"tasks": (task,), "start": start}), settings, show)
        spec = spec.model_copy(update={"start": None})


def check(spec: RunSpec, registry: Registry) -> None:
    """Refuse what no session can have.

    Raises:
        InvalidSpec: naming it and what to do.
    """
    method = continual_method(spec.method, spec.hyperparameters)
    if method.joint or method.told:
        raise InvalidSpec(
            f"{method.name} is there to be compared with: it cannot serve", hint="promptctl continual bench"
        )
    if spec.name is None:
        raise InvalidSpec(f"{method.name} learns on under one name", hint="--name assistant")
    if spec.name in {task.name for task in registry.tasks()}:
        raise InvalidSpec(f"{spec.name!r} is a task; a prompt that learns many needs a name of its own")
    if spec.workers > 1 or spec.teachers or spec.dp_epsilon or {*(spec.start or "")} & {*",*"}:
        raise InvalidSpec(
            "a session is learned by one worker, from one version, without teachers and without --dp-epsilon",
            hint="--workers 1",
        )
    _check_alike(spec, registry)


def check_kind(task: TaskSpec) -> None:
    """Refuse a task whose rows have no label each.

    Raises:
        InvalidSpec: naming its kind.
    """
    if task.kind not in ("classification", "pair"):
        raise InvalidSpec(f"task {task.name!r} is {task.kind}; sessions are of classification or pair rows")


def _check_alike(spec: RunSpec, registry: Registry) -> None:
    """One prompt answers rows of one kind."""
    tasks = [find(registry, name) for name in spec.tasks]
    for task in tasks:
        check_kind(task)
    start = pinned(registry, spec.start) if spec.start else None
    before = registry.resolve(start) if start else newest_version(registry, str(spec.name))
    answers: Any = before and before.card.get("task")
    first, kind = (before.reference, answers["kind"]) if before and answers else (tasks[0].name, tasks[0].kind)
    for task in tasks:
        if task.kind != kind:
            raise InvalidSpec(
                f"{first} answers {kind} rows, and task {task.name!r} has {task.kind} rows",
                hint="give it another --name",
            )


def newest_version(registry: Registry, name: str) -> Version | None:
    """The newest version of a prompt that is there to go on from."""
    try:
        found = registry.versions(name)
    except NotFound:
        return None
    return next((version for version in found if version.state == "READY"), None)
