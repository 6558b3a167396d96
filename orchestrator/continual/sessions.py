"""Tasks learned one after the other: a run and a version for each, every one from the version before."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from methods.continual import continual_method
from registry import Conflict, NotFound, Registry, Version
from registry.references import PRODUCTION

from .. import runs
from ..access import opened
from ..errors import InvalidSpec
from ..progress import Show
from ..publishing import RunReport
from ..settings import Settings
from ..specs import RunSpec, TaskSpec
from ..start import pinned
from ..tasks import find
from .card import CORRECTIONS, sessions_of


def learn(spec: RunSpec, settings: Settings, show: Show) -> Iterator[RunReport]:
    """The report of each session's run, in the order of the tasks.

    Raises:
        InvalidSpec: what these sessions cannot have, found before the first of them.
    """
    with opened(settings) as registry:
        check(spec, registry)
        spec, after = begun(spec, registry, show)
    for task in spec.tasks:
        show.say(f"session {task}" + (f", from {spec.start}" if spec.start else ""))
        report = runs.train(spec.model_copy(update={"tasks": (task,)}), settings, show, after)
        yield report
        start = report.rows[0].reference
        spec, after = spec.model_copy(update={"start": start}), int(start.rpartition(":")[2])


def begun(spec: RunSpec, registry: Registry, show: Show) -> tuple[RunSpec, int]:
    """The run with the version that it goes on from, and the number of the newest one, 0 for none.

    Raises:
        Conflict: the newest version does not know what one before it knows, and the run does not say from which.
    """
    name = str(spec.name)
    number, newest = newest_number(registry, name), newest_version(registry, name)
    start = registry.resolve(pinned(registry, spec.start)) if spec.start else newest
    if start and start.name == name and (lost := left_behind(registry, start)):
        if not spec.start:
            other = next(iter(lost))
            raise Conflict(
                f"{start.reference} does not know {', '.join(lost[other])}, which {other} does: they grew apart",
                hint=f"say which one to go on from: --from {start.reference} or --from {other}",
            )
        say_left_behind(registry, start, show)
    return spec.model_copy(update={"start": start and start.reference} | _inherited(spec, start)), number


def _inherited(spec: RunSpec, start: Version | None) -> dict[str, Any]:
    """The settings that the version was begun with, but for those that the run names."""
    if start is None or start.card.get("method") != spec.method:
        return {}
    begun_with: Any = start.card.get("hyperparameters", {})
    return {"hyperparameters": {**begun_with, **spec.hyperparameters}}


def left_behind(registry: Registry, start: Version) -> dict[str, list[str]]:
    """The sessions that a version does not know, by the newer versions and those beside it that know them.

    Beside it are those between the version and the one that it was made from.
    """
    since = max((parent.number for parent in start.parents if parent.name == start.name), default=0)
    others = [one for one in registry.versions(start.name) if one.state == "READY" and one.number > since]
    every = {one.number: one for one in registry.versions(start.name)}
    unknown = {one.reference: _known(one, every) - _known(start, every) for one in others}
    return {reference: list(names) for reference, names in unknown.items() if names}


def _known(version: Version, every: Mapping[int, Version]) -> Counter[str]:
    """Its sessions by name; corrections, which all have one name, by the version that learned them."""
    before = next((every[one.number] for one in version.parents if one.name == version.name), None)
    known = _known(before, every) if before else Counter[str]()
    own = sessions_of(version)[known.total() :]
    return known + Counter(f"{one} of {version.reference}" if one == CORRECTIONS else one for one in own)


def candidate(registry: Registry, version: Version) -> Version:
    """The newest version made from this one by corrections alone, which production has never named; itself without one.

    The next corrections are learned into it, and leave none behind.
    """
    left = {event.new for event in registry.history(version.name, PRODUCTION)}
    line = {version.number}
    for one in reversed(registry.versions(version.name)):
        made_from = {parent.number for parent in one.parents if parent.name == one.name}
        corrected = one.state == "READY" and sessions_of(one)[-1:] == [CORRECTIONS]
        if corrected and one.number not in left and made_from & line:
            line.add(one.number)
    return registry.resolve(f"{version.name}:{max(line)}")


def say_left_behind(registry: Registry, start: Version, show: Show) -> None:
    """Tell what a version that is made from this one will not know."""
    for reference, names in left_behind(registry, start).items():
        show.say(f"{start.reference} does not know {', '.join(names)}, which {reference} does; it stays behind")


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
            hint="leave those options out",
        )
    if spec.cache_activations or spec.gradient_checkpointing:
        raise InvalidSpec(
            f"{method.name} keeps what no prompt changes as it is; --cache-activations and --gradient-checkpointing do"
            " nothing for it",
            hint="leave them out",
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


def current(registry: Registry, reference: str) -> Version:
    """What a reference names; of a prompt that has nothing in production, its newest version.

    Raises:
        NotFound: there is no such version.
    """
    try:
        return registry.resolve(reference)
    except NotFound:
        if (newest := newest_version(registry, reference)) is None:
            raise
        return newest


def newest_version(registry: Registry, name: str) -> Version | None:
    """The newest version of a prompt that is there to go on from."""
    try:
        found = registry.versions(name)
    except NotFound:
        return None
    return next((version for version in found if version.state == "READY"), None)


def newest_number(registry: Registry, name: str) -> int:
    """The number of that; 0 where there is none."""
    newest = newest_version(registry, name)
    return newest.number if newest else 0
