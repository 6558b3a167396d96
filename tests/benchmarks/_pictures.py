"""Pictures of latencies and of what went on over time, as SVG."""

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.comparison.plot import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Line:
    """What was measured of one contender: latencies in seconds; or values at moments."""

    name: str
    values: Sequence[float]
    at_s: Sequence[float] = ()


def draw(name: str, title: str, lines: Sequence[Line], *, axis: str = "rows/s", over: str = "seconds") -> Path:
    """How large a share of the answers took longer than a time, or values over time; the file that shows it."""
    folder = Path(os.environ.get("PLOTS") or tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "promptctl-fonts"))  # else the user's home
    from matplotlib import rc_context  # heavy, and it reads the environment when imported
    from matplotlib.figure import Figure

    with rc_context({**STYLE}):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        panel: Axes = figure.subplots()
        for line, colour in zip(lines, COLOURS, strict=False):
            if line.at_s:
                _over_time(panel, line, colour, axis, over)
            else:
                _share_over(panel, line, colour)
        panel.set_title(title, loc="left", fontweight="bold")
        panel.grid(color="0.92", linewidth=0.6)
        panel.legend(frameon=False)
        figure.savefig(file := folder / f"{name}.svg", metadata={"Date": None})
    return file


def _share_over(panel: "Axes", line: Line, colour: str) -> None:
    seconds = np.sort(line.values) * 1000
    panel.step(seconds, 1 - np.arange(len(seconds)) / len(seconds), where="post", color=colour, label=line.name)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("milliseconds")
    panel.set_ylabel("share of the answers that took longer")


def _over_time(panel: "Axes", line: Line, colour: str, axis: str, over: str) -> None:
    panel.plot(line.at_s, line.values, color=colour, label=line.name)
    panel.set_ylim(bottom=0)
    panel.set_xlabel(over)
    panel.set_ylabel(axis)
