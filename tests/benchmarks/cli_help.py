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
HELP = [sys.executable, "-m", "orchestrator.cli.main", "--help"]
NOTHING = [sys.executable, "-c", "pass"]


def measure() -> dict[str, object]:
    """Both commands in turn, so that a busy moment slows both; the ratio of their median wall times."""
    taken: dict[str, list[float]] = {"help": [], "nothing": []}
    for _ in range(TURNS):
        taken["help"].append(_seconds(HELP))
        taken["nothing"].append(_seconds(NOTHING))
    ratio = median(taken["help"]) / median(taken["nothing"])
    milliseconds = {name: round(median(seconds) * 1000, 1) for name, seconds in taken.items()}
    return {
        "name": "promptctl --help",
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "ok": ratio <= GOAL,
        "compared": f"{milliseconds['help']} ms against {milliseconds['nothing']} ms of a bare `python -c pass`",
    }


def _seconds(command: list[str]) -> float:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
