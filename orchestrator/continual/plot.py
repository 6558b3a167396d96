"""An accuracy matrix as a picture: a heat map of all sessions, and the mean over sessions as a curve."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")  # Okabe and Ito
STYLE: Any = {"svg.hashsalt": "promptctl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
LEGIBLE = 15  # sessions, beyond which cells are too small for numbers

Matrix = Sequence[Sequence[float | None]]


def draw(
    names: Sequence[str], matrix: Matrix, others: Mapping[str, Sequence[float]], files: Sequence[Path], cache: Path
) -> None:
    """Write it to each file, as PNG or SVG by its suffix; `others` are further curves, by what they are of."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache))  # it would write into the user's home
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context  # heavy, and it reads the environment when imported
    from matplotlib.figure import Figure

    with rc_context({**STYLE}):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        heat, curves = figure.subplots(1, 2)
        _heat(heat, names, matrix)
        _curves(curves, {"mean over sessions so far": _means(matrix)} | dict(others))
        for file in files:
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)


def _means(matrix: Matrix) -> list[float]:
    known = [[value for value in row if value is not None] for row in matrix]
    return [sum(row) / len(row) if row else math.nan for row in known]


def _heat(panel: Any, names: Sequence[str], matrix: Matrix) -> None:
    count = len(names)
    cells = [
        [math.nan if value is None else 100 * value for value in row] + [math.nan] * (count - len(row))
        for row in matrix
    ]
    image = panel.imshow(cells, cmap="cividis", vmin=min(50.0, *(v for row in cells for v in row if v == v)), vmax=100)
    panel.figure.colorbar(image, ax=panel, label="accuracy, %", shrink=0.85)
    panel.set_xticks(range(count), names, rotation=60, ha="right")
    panel.set_yticks(range(len(matrix)), [f"after {name}" for name in names[: len(matrix)]])
    panel.set_title("accuracy on each session's test rows", loc="left", fontweight="bold")
    if count <= LEGIBLE:
        for i, row in enumerate(cells):
            for n, value in enumerate(row):
                if value == value:
                    panel.text(
                        n, i, f"{value:.0f}", ha="center", va="center", size=7, color="white" if value < 75 else "black"
                    )


def _curves(panel: Any, several: Mapping[str, Sequence[float]]) -> None:
    for place, (name, values) in enumerate(several.items()):
        marker = "o" if len(values) < 30 else ""
        sessions = range(1, len(values) + 1)
        panel.plot(
            sessions, [100 * v for v in values], marker=marker, ms=4, color=COLOURS[place % len(COLOURS)], label=name
        )
    panel.set_xlabel("sessions learned")
    panel.set_ylabel("accuracy, %")
    panel.set_title("as sessions come", loc="left", fontweight="bold")
    panel.grid(color="0.92", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.legend(frameon=False, fontsize=8)
