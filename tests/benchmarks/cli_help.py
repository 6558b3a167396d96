"""What `promptctl --help` costs, against an interpreter that does nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

GOAL = 4.0
TURNS = 15
COMMANDS = {
    "help": ["-m", "orchestrator.cli.main", "--help"],
    "click": ["-c", "import click"],
    "nothing": ["-c", "pass"],
}


def measure() -> dict[str, object]:
    """All in turn, so that a busy moment slows all; the ratio of the median wall times."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(TURNS):
        for name, arguments in COMMANDS.items():
            taken[name].append(_seconds(arguments))
    ratio = median(taken["help"]) / median(taken["nothing"])
    help_ms, click_ms, nothing_ms = (f"{median(seconds) * 1000:.1f} ms" for seconds in taken.values())
    return {
        "name": "promptctl --help",
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "ok": ratio <= GOAL,
        "compared": f"{help_ms} against {nothing_ms} of `python -c pass`; importing click alone: {click_ms}",
    }


def _seconds(arguments: list[str]) -> float:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
