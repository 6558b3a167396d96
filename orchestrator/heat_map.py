"""How alike prompts are, as a picture: a cell for each pair, its cosine in it."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STYLE: Any = {"svg.hashsalt": "promptctl", "font.size": 9}
LEGIBLE = 16  # beside more prompts than these, cells are too small for numbers


def draw(labels: Sequence[str], cosines: Sequence[Sequence[float]], file: Path, cache: Path) -> None:
    """Write cosines [K][K] as PNG or SVG, by the suffix; `cache` is where matplotlib keeps its fonts."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache))  # it would write into the user's home
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context  # heavy, and it reads the environment when imported
    from matplotlib.figure import Figure

    count = len(labels)
    lowest = min(0.999, *(min(row) for row in cosines))  # versions that are all alike still have a scale
    digits = 2 if lowest < 0.9 else 3 if lowest < 0.99 else 4
    side = max(2.4, (0.3 + 0.06 * digits) * min(count, 40) + 0.6)
    with rc_context({**STYLE}):
        figure = Figure(figsize=(side + 2.6, side + 1.2), layout="constrained")
        panel = figure.subplots()
        image = panel.imshow(cosines, cmap="viridis", vmin=lowest, vmax=1)
        panel.set_xticks(range(count), labels, rotation=45, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(count), labels)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        for row, cells in enumerate(cosines if count <= LEGIBLE else ()):
            for column, cosine in enumerate(cells):
                light = cosine < (lowest + 1) / 2
                panel.text(
                    column, row, f"{cosine:.{digits}f}", ha="center", va="center", color="white" if light else "black",
                    fontsize=7,
                )  # fmt: skip
        figure.colorbar(image, ax=panel, label="cosine", shrink=0.8).outline.set_visible(False)
        figure.savefig(file, dpi=150, bbox_inches="tight", metadata={"Date": None} if file.suffix == ".svg" else None)
