"""What the cells come to: one line per task, method and setting, and the average over the tasks."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .specs import Cell, Value

AVERAGE = "(average)"  # no name of a task has brackets


@dataclass(frozen=True)
class Summary:
    """A method under one setting on one task, over its seeds."""

    task: str
    method: str
    setting: Mapping[str, Value]
    metric: str
    split: str
    mean: float | None  # none where every seed failed
    spread: float | None  # the sample's standard deviation; none with fewer than two seeds
    n: int  # seeds that gave a number
    parameters: int | None
    bytes: int | None  # what is kept for one task, its head included
    seconds: float | None  # of training for one task; those of a joint method are shared out equally
    failed: str  # why seeds failed, empty where none did


def summarize(cells: Sequence[Cell], lines: Mapping[str, Mapping[str, Any]]) -> tuple[Summary, ...]:
    """Every line of the table, by task, the best mean first; `lines` are those of finished cells by their names."""
    groups: defaultdict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        for task in cell.tasks:
            groups[task, cell.method, str(cell.setting)].append(cell)
    found = [_summary(task, own, lines) for (task, _, _), own in groups.items()]
    tasks = {summary.task for summary in found}
    averages = _averages(cells, lines) if len(tasks) > 1 else []
    return (*sorted(found, key=_place), *sorted(averages, key=_place))


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean, and the sample standard deviation of two or more."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )


def _place(summary: Summary) -> tuple[str, bool, float]:
    return summary.task, summary.mean is None, -(summary.mean or 0.0)


def _summary(task: str, cells: Sequence[Cell], lines: Mapping[str, Mapping[str, Any]]) -> Summary:
    done = [lines[cell.name] for cell in cells if cell.name in lines]
    return _of(task, cells[0], [line["results"][task] for line in done if "results" in line], _failures(done))


def _averages(cells: Sequence[Cell], lines: Mapping[str, Mapping[str, Any]]) -> list[Summary]:
    """Over the tasks first, then over the seeds in which no task failed."""
    groups: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.method, str(cell.setting)].append(cell)
    averages = []
    for own in groups.values():
        done = [lines[cell.name] for cell in own if cell.name in lines]
        whole = []
        for seed in sorted({cell.seed for cell in own}):
            of_seed = [lines.get(cell.name, {}) for cell in own if cell.seed == seed]
            if all("results" in line for line in of_seed):
                whole.append(_average([result for line in of_seed for result in line["results"].values()]))
        averages.append(_of(AVERAGE, own[0], whole, _failures(done)))
    return averages


def _average(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    numbers = {key: statistics.fmean(one[key] for one in results) for key in ("value", "seconds")}
    counts = {key: round(statistics.fmean(one[key] for one in results)) for key in ("parameters", "bytes")}
    names = {key: "/".join(sorted({one[key] for one in results})) for key in ("metric", "split")}
    return numbers | counts | names


def _of(task: str, cell: Cell, results: Sequence[Mapping[str, Any]], failed: str) -> Summary:
    mean, spread = mean_and_spread([one["value"] for one in results])
    seconds, _ = mean_and_spread([one["seconds"] for one in results])
    first: Mapping[str, Any] = results[0] if results else {}
    return Summary(
        task=task,
        method=cell.method,
        setting=cell.setting,
        metric=first.get("metric", ""),
        split=first.get("split", ""),
        mean=mean,
        spread=spread,
        n=len(results),
        parameters=first.get("parameters"),
        bytes=first.get("bytes"),
        seconds=seconds,
        failed=failed,
    )


def _failures(lines: Iterable[Mapping[str, Any]]) -> str:
    reasons = [line["failed"] for line in lines if "failed" in line]
    return f"{len(reasons)} failed: {'; '.join(dict.fromkeys(reasons))}" if reasons else ""
