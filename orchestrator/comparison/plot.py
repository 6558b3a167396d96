"""The table as a picture: what each method reaches on each task, against the bytes it keeps for one."""

import logging
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .grid import CONTROL
from .table import AVERAGE, Summary

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by most colour-blind people; the markers tell the methods apart without any.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
LEVEL = "level of the control"
COLUMNS = 3  # panels in a row
WIDE = 50  # from this range of bytes on, powers of ten are ticks enough
ASIDE = 8.0  # points between markers of methods that keep equally much
STYLE: Any = {"svg.hashsalt": "promptctl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


def draw(rows: Sequence[Summary], methods: Sequence[str], files: Sequence[Path], cache: Path) -> None:
    """Write the plot to each file, as PNG or SVG by its suffix; `cache` is where matplotlib keeps its fonts."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache))  # it would write into the user's home
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context  # heavy, and it reads the environment when imported
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.task != AVERAGE and row.mean is not None]
    tasks = list(dict.fromkeys(row.task for row in shown)) or ["no result"]
    columns = min(COLUMNS, len(tasks))
    lines = math.ceil(len(tasks) / columns)
    with rc_context({**STYLE}):
        figure = Figure(figsize=(3.9 * columns + 1.6, 3.3 * lines), layout="constrained")
        panels: list[Axes] = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
        for panel, task in zip(panels, tasks, strict=False):
            _panel(panel, task, [row for row in shown if row.task == task], methods)
        for panel in panels[len(tasks) :]:
            panel.remove()
        handles = _legend(panels[: len(tasks)], methods)
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
        for file in files:
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)


def _panel(panel: "Axes", task: str, rows: Sequence[Summary], methods: Sequence[str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter
    from matplotlib.transforms import offset_copy

    panel.set_xscale("log")
    placed = [row for row in rows if row.bytes]  # a control that says words keeps nothing at all
    for row, aside in _apart(placed, methods):
        place, kept, mean, spread = methods.index(row.method), row.bytes or 0, row.mean or 0.0, row.spread or 0.0
        panel.update_datalim([(kept, mean - spread), (kept, mean + spread)])  # a marker set aside does not do it
        panel.errorbar(
            kept,
            mean,
            yerr=spread or None,
            label=row.method,
            linestyle="none",
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=6,
            elinewidth=1,
            capsize=2.5,
            transform=offset_copy(panel.transData, panel.get_figure(root=True), x=aside, units="points"),
        )
    control = [row.mean for row in rows if row.method == CONTROL and row.mean is not None]
    if control:
        panel.axhline(max(control), color="0.55", linewidth=0.9, linestyle="--", zorder=0, label=LEVEL)
    panel.margins(x=0.1, y=0.08)
    panel.autoscale_view()
    kept = [row.bytes or 1 for row in placed] or [1]
    panel.xaxis.set_major_locator(LogLocator(subs=(1,) if max(kept) > WIDE * min(kept) else (1, 2, 5)))
    panel.xaxis.set_major_formatter(lambda value, _: size(value))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("bytes kept per task")
    panel.set_ylabel(f"{rows[0].metric} ({rows[0].split})" if rows else "")
    panel.set_title(task, loc="left", fontweight="bold")
    panel.grid(color="0.92", linewidth=0.6)
    panel.set_axisbelow(True)


def _apart(rows: Sequence[Summary], methods: Sequence[str]) -> Iterator[tuple[Summary, float]]:
    """Each row, and how many points its marker stands aside of its place, where other methods keep as much."""
    equal: defaultdict[int, list[Summary]] = defaultdict(list)
    for row in rows:
        equal[round(20 * math.log10(row.bytes or 1))].append(row)
    for group in equal.values():
        beside = [method for method in methods if any(row.method == method for row in group)]
        for row in group:
            yield row, ASIDE * (beside.index(row.method) - (len(beside) - 1) / 2)


def _legend(panels: Sequence["Axes"], methods: Sequence[str]) -> dict[str, "Artist"]:
    """One handle per method, in the order that they were asked for, and that of the control's line."""
    found = {label: one for panel in panels for one, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    return {method: found[method] for method in (*methods, LEVEL) if method in found}


def size(count: float) -> str:
    """Bytes as a person says them: 3000 is 3 kB."""
    unit, name = next(((unit, name) for unit, name in UNITS if count >= unit), UNITS[-1])
    return f"{count / unit:g} {name}"
