"""How good a published version is on a task's rows, and each of its patterns by itself.

The spread over patterns says how much the wording matters (Schick and Schütze, 2021, section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import methods
from methods.words.patterns import alone
from registry import Registry

from .answering import Ready
from .errors import InvalidSpec
from .sources import read
from .specs import Split, TaskSpec
from .tasks import find


@dataclass(frozen=True)
class Judged:
    """The metrics of a version, or of a part of it: `all`, the number of a pattern, or their `mean` and `spread`."""

    pattern: str
    metrics: Mapping[str, float]
    rows: int
    template: str = ""


def evaluate(registry: Registry, version: Ready, task: str | None, split: Split | None) -> list[Judged]:
    """Judge a version on a task's rows: its own task unless one is named, the test rows where there are any.

    Raises:
        UnknownTask, InvalidSpec: there is no such task or split, or its kind or labels are not the version's.
    """
    spec = find(registry, task or version.task.name)
    _check_same(spec, version)
    rows = judged_by(spec, split, version.task.labels)
    whole = Judged("all", _metrics(version, version.artifact, rows), len(rows))
    prompt = version.task.text_prompt
    if prompt is None or len(prompt.templates) == 1:
        return [whole]
    each = [
        Judged(str(place + 1), _metrics(version, alone(version.artifact, place), rows), len(rows), template)
        for place, template in enumerate(prompt.templates)
    ]
    several = {name: [one.metrics[name] for one in each] for name in whole.metrics}
    means = Judged("mean", {name: mean(values) for name, values in several.items()}, len(rows))
    return [whole, *each, means, Judged("spread", {name: stdev(found) for name, found in several.items()}, len(rows))]


def judged_by(spec: TaskSpec, split: Split | None, labels: Sequence[str]) -> tuple[methods.Row, ...]:
    """The rows of a split: the test rows where there are any, unless one is named.

    Raises:
        InvalidSpec: it has none.
    """
    chosen = split or held_out(spec)
    rows = read(spec, chosen, labels).rows
    if not rows:
        raise InvalidSpec(f"the {chosen} file of task {spec.name!r} has no usable row")
    return rows


def held_out(spec: TaskSpec) -> Split:
    """The split that versions are judged by."""
    return "test" if spec.test else "validation"


def _check_same(spec: TaskSpec, version: Ready) -> None:
    task = version.task
    if spec.kind != task.kind:
        raise InvalidSpec(f"task {spec.name!r} is {spec.kind}; {version.reference} answers {task.kind} rows")
    if spec.labels is not None and set(spec.labels) != set(task.labels):
        raise InvalidSpec(
            f"task {spec.name!r} has the labels {', '.join(spec.labels)};"
            f" {version.reference} answers {', '.join(task.labels)}"
        )


def _metrics(version: Ready, artifact: methods.Artifact, rows: Sequence[methods.Row]) -> dict[str, float]:
    task = artifact.card.task or version.task
    return methods.means(methods.totals(task, rows, answered(version, artifact, rows)))


def answered(version: Ready, artifact: methods.Artifact, rows: Sequence[methods.Row]) -> list[methods.Answer]:
    """What a version, or a part of it, answers to rows; their labels, of which it may not know all, are not told."""
    task = artifact.card.task or version.task
    asked = [replace(row, label=None, tags=()) for row in rows]
    encoded = [methods.encode(version.backbone, task, row, artifact.form) for row in asked]
    return methods.answers(version.backbone, artifact, asked, encoded)
