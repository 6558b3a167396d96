"""Continual methods beside each other: the same streams, rows and epochs, and the bare backbone's own baselines."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeAlias

import torch

import methods
from methods.continual import Scores, Session, continual_method, follow
from registry import Registry

from ..cluster import started
from ..errors import InvalidSpec, OrchestratorError
from ..progress import Show
from ..settings import Settings
from ..sources import read
from ..specs import TaskSpec
from ..tasks import find
from .sessions import check_kind
from .streams import Part, Stream, ordered


@dataclass(frozen=True)
class Result:
    """One method on one order of a stream."""

    method: str
    order: int
    matrix: tuple[tuple[float, ...], ...]
    seconds: tuple[float, ...]  # of each session's learning
    sizes: tuple[int, ...]  # test rows of each session


@dataclass(frozen=True)
class Line:
    """A method over all orders: means, and the standard deviation of A_N."""

    method: str
    orders: int
    a_n: float
    spread: float | None
    caa: float | None
    f_code: float | None
    f_paper: float | None
    f_max: float | None
    bwt: float | None
    seconds: float  # of one session


@dataclass(frozen=True)
class Failed:
    """A method that failed on an order; what is said never quotes a row."""

    method: str
    order: int
    why: str


Asked: TypeAlias = Mapping[str, Any]  # what one attempt is told, as plain values


def run(
    registry: Registry, stream: Stream, names: Sequence[str], seeds: int, epochs: int, workers: int, backbone: str,
    settings: Settings, show: Show,
) -> Iterator[Result | Failed]:  # fmt: skip
    """The results as they come, each attempt on a core of its own.

    Raises:
        InvalidSpec: a task of another kind, or a label that no row has.
        InvalidSetting: an unknown method.
    """
    for name in names:
        continual_method(name, {})
    specs = {part.task: find(registry, part.task) for part in ordered(stream, 0)}
    for spec in specs.values():
        check_kind(spec)
    for part in ordered(stream, 0):
        _check_labels(part, read(specs[part.task], "train").labels)
    asked = [
        {
            "method": name,
            "order": order,
            "parts": ordered(stream, order),
            "tasks": {task: spec.model_dump(mode="json") for task, spec in specs.items()},
            "epochs": epochs,
            "backbone": backbone,
        }
        for order in range(seeds)
        for name in names
    ]
    if not workers:
        yield from map(attempt, asked)
        return
    workers = min(workers, len(asked))
    show.say(f"starting Ray with {workers} worker{'s' if workers > 1 else ''}")
    with started(settings.home, workers):
        import ray

        remote = ray.remote(num_cpus=1, max_retries=0)(attempt)
        waiting = [remote.remote(one) for one in asked]
        while waiting:
            (ready,), waiting = ray.wait(waiting)
            yield ray.get(ready)


def attempt(asked: Asked) -> Result | Failed:
    """One method on one order, in one process with one thread; a failure is a value too.

    Nothing is raised: Ray would log its text, which may quote a row.
    """
    torch.set_num_threads(1)
    try:
        return _learned_and_judged(asked)
    except (methods.MethodError, OrchestratorError) as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - see above
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
    return Failed(asked["method"], asked["order"], why)


def _learned_and_judged(asked: Asked) -> Result:
    backbone = methods.Backbone.load(asked["backbone"], "cuda" if torch.cuda.is_available() else "cpu")
    tasks = {name: TaskSpec.model_validate(values) for name, values in asked["tasks"].items()}
    parts: Sequence[Part] = asked["parts"]
    taken = [_session(backbone, tasks[part.task], part, "train") for part in parts]
    tests = [_session(backbone, tasks[part.task], part, "test").examples for part in parts]
    plan = methods.Plan(asked["epochs"], 16, asked["order"])
    matrix, seconds = [], []
    for one in follow(backbone, continual_method(asked["method"], {}), taken, tests, plan):
        matrix.append(one.accuracies)
        seconds.append(one.seconds)
    return Result(asked["method"], asked["order"], tuple(matrix), tuple(seconds), tuple(map(len, tests)))


def _session(backbone: methods.Backbone, task: TaskSpec, part: Part, split: str) -> Session:
    held = "train" if split == "train" else ("test" if task.test else "validation")
    source = read(task, held, None if split == "train" else read(task, "train").labels)
    labels = part.labels or tuple(source.labels)
    _check_labels(part, source.labels)
    of = methods.Task(part.name, task.kind, labels if len(labels) > 1 else (*labels, ""))
    rows = [row for row in source.rows if row.label in labels]
    if not rows:
        raise InvalidSpec(f"session {part.name!r} has no row in the {held} file of {part.task!r}")
    return Session(labels, [methods.encode(backbone, of, row)[0] for row in rows])


def _check_labels(part: Part, known: Sequence[str]) -> None:
    if strangers := sorted(set(part.labels) - set(known)):
        raise InvalidSpec(f"session {part.name!r} has the label {strangers[0]!r}, which no row of {part.task!r} has")


def lines(results: Sequence[Result], names: Sequence[str]) -> list[Line]:
    """A line for each method that has a result, in their order."""
    found = {name: [one for one in results if one.method == name] for name in names}
    return [_line(name, several) for name, several in found.items() if several]


def _line(name: str, results: Sequence[Result]) -> Line:
    ends = [mean(one.matrix[-1]) for one in results]
    found = [Scores.of(one.matrix, one.sizes) for one in results if len(one.matrix) == len(one.sizes)]

    def over(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if known else None

    return Line(
        method=name,
        orders=len(results),
        a_n=mean(ends),
        spread=stdev(ends) if len(ends) > 1 else None,
        caa=over([one.caa for one in found]),
        f_code=over([one.f_code for one in found]),
        f_paper=over([one.f_paper for one in found]),
        f_max=over([one.f_max for one in found]),
        bwt=over([one.bwt for one in found]),
        seconds=mean(mean(one.seconds) for one in results),
    )
