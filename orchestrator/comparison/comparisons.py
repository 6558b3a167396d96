"""One comparison, from a spec to a table and a plot: plan, run the cells that are missing, sum up."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import events, runs
from ..access import opened
from ..errors import InvalidSpec
from ..progress import shown
from ..settings import Settings
from ..shots import shortages
from ..sources import read
from ..specs import NAME, RunSpec, parse
from . import starts
from .errors import ComparisonExists, UnknownComparison
from .grid import cells
from .plot import draw
from .progress import Cells
from .specs import Cell, Comparison, ComparisonSpec
from .table import Summary, summarize
from .tracking import CellTracker
from .workers import lines

PLAN, DONE, TABLE, PLOTS = "comparison.json", "cells.jsonl", "table.json", ("comparison.svg", "comparison.png")


@dataclass(frozen=True)
class ComparisonReport:
    """What a finished comparison came to, and where it is kept."""

    id: str
    mlflow_run_id: str
    folder: str
    seconds: float
    cells: int
    failed: int
    rows: tuple[Summary, ...]


def compare(
    spec: ComparisonSpec, settings: Settings, show: Cells, *, workers: int, plot: Path | None = None
) -> ComparisonReport:
    """A new comparison. Everything that can be found wrong before anything is started is found first."""
    cells(spec)
    with opened(settings) as registry:
        spec = spec.model_copy(update={"starts": starts.pin(registry, spec.starts)})
        blobs = starts.fetch(registry, spec.starts)
        same = {"tasks": spec.tasks, "backbone": spec.backbone, "epochs": spec.epochs, "batch_size": spec.batch_size}
        job = runs.plan(RunSpec.model_validate(same | {"workers": workers}), settings, registry, show)
    comparison = Comparison(id=spec.name or job.run_id, spec=spec, job=job)
    _say_shortages(comparison, show)
    folder = _folder(settings, comparison.id)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ComparisonExists(
            f"there is a comparison {comparison.id!r} already", hint=f"promptctl compare --resume {comparison.id}"
        ) from None
    starts.keep(folder, blobs)
    (folder / PLAN).write_text(comparison.model_dump_json())
    return _carry_out(comparison, settings, show, workers, plot)


def resume(name: str, settings: Settings, show: Cells, *, workers: int, plot: Path | None = None) -> ComparisonReport:
    """Run the cells that are not done, the failed ones again; its data and settings are those it began with."""
    file = _folder(settings, name) / PLAN
    if not NAME.fullmatch(name) or not file.is_file():
        raise UnknownComparison(f"no comparison {name!r}", hint=f"look into {settings.home / 'comparisons'}")
    comparison = parse(Comparison, json.loads(file.read_text()), f"comparison {name!r}")
    _check_unchanged(comparison)
    return _carry_out(comparison, settings, show, workers, plot)


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / "comparisons" / name


def _say_shortages(comparison: Comparison, show: Cells) -> None:
    """Where the largest draw from the fewest rows finds fewer than it asks for."""
    grid = comparison.spec.grid
    shots = [value for value in grid.get("shots", ()) if isinstance(value, int)]
    rows = min((value for value in grid.get("rows", ()) if isinstance(value, int)), default=comparison.spec.rows)
    for one in comparison.job.tasks if shots else ():
        first = read(one.task, "train", one.labels).rows[:rows]
        for line in shortages(one.task.kind, one.labels, first, max(shots)):
            show.say(f"{one.task.name}: {line}")


def _check_unchanged(comparison: Comparison) -> None:
    for one in comparison.job.tasks:
        for split, digest in one.digests.items():
            if read(one.task, split, one.labels).sha256 != digest:  # pyright: ignore[reportArgumentType] - JSON's keys are text
                raise InvalidSpec(
                    f"the {split} file of task {one.task.name!r} changed since the comparison began",
                    hint="start a new one: promptctl compare",
                )


def _carry_out(
    comparison: Comparison, settings: Settings, show: Cells, workers: int, plot: Path | None
) -> ComparisonReport:
    began = time.monotonic()
    folder = _folder(settings, comparison.id)
    wanted = cells(comparison.spec)
    missing = [cell for cell in wanted if "results" not in _done(folder).get(cell.name, {})]
    show.begin(len(wanted) - len(missing), len(wanted))
    tracker = CellTracker(comparison, folder / DONE, settings, show.say)
    with _interrupted(comparison.id, show), tracker.following():
        blobs = starts.kept(folder, comparison.spec.starts)
        given = lines(comparison, missing, blobs, workers, settings, show)
        with shown(show, folder / DONE), closing(given) as finished:
            for line in finished:
                events.append(folder / DONE, [line])
        rows = _sum_up(comparison, wanted, folder, settings, plot)
    failed = [name for name, line in _done(folder).items() if "failed" in line]
    return ComparisonReport(
        comparison.id, tracker.run_id, str(folder), time.monotonic() - began, len(wanted), len(failed), rows
    )


def _done(folder: Path) -> dict[str, events.Event]:
    """The newest line of every cell that has one."""
    return {line["cell"]: line for line in events.Tail(folder / DONE).new()}


def _sum_up(
    comparison: Comparison, wanted: Sequence[Cell], folder: Path, settings: Settings, plot: Path | None
) -> tuple[Summary, ...]:
    rows = summarize(wanted, _done(folder))
    table: dict[str, Any] = {"id": comparison.id, "spec": comparison.spec.model_dump(mode="json")}
    (folder / TABLE).write_text(json.dumps(table | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    files = [*(folder / name for name in PLOTS), *([plot] if plot else [])]
    draw(rows, comparison.spec.methods, files, settings.home / "matplotlib")
    return rows


@contextmanager
def _interrupted(name: str, show: Cells) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        show.say(f"stopped; to go on: promptctl compare --resume {name}")
        raise
