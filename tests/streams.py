"""Small tasks of a tiny backbone's words, in a home of their own, to be learned one after the other."""

import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator.access import opened
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec, TaskSpec
from orchestrator.tasks import put
from tests.methods.sessions import OPENINGS, SMALL

CANARY = "xylofonquartett"
TASKS: Mapping[str, tuple[str, ...]] = {
    "moods": ("bad", "good"),
    "colours": ("blue", "green", "red"),
    "places": ("hotel", "tower"),
}
SPLITS = {"train": slice(0, 4), "validation": slice(3, 5), "test": slice(2, 5)}  # of the openings


def rows(labels: tuple[str, ...], openings: tuple[str, ...]) -> list[dict[str, str]]:
    """A row of each label for each opening, which says the label; the first ones say a canary as well."""
    first = f"{CANARY} "
    return [
        {"text": f"{opening} {label} {first if opening == OPENINGS[0] else ''}", "label": label}
        for opening in openings
        for label in labels
    ]


def written(file: Path, found: list[dict[str, str]]) -> str:
    """A file of rows."""
    file.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(file)


def settled(home: Path, data: Path, backbone: Path) -> Settings:
    """A home that knows the tasks, whose files lie in `data`: 4 training rows of each label, and 3 to be judged by."""
    settings = Settings(home=home, backbone=str(backbone), actor="ada")
    tasks = []
    for name, labels in TASKS.items():
        files = {
            split: written(data / f"{name}-{split}.jsonl", rows(labels, OPENINGS[part]))
            for split, part in SPLITS.items()
        }
        tasks.append(TaskSpec.model_validate({"name": name, "kind": "classification", **files}))
    with opened(settings) as registry:
        put(registry, tasks, actor="ada", replace=False)
    return settings


def spec(*tasks: str, **changes: object) -> RunSpec:
    """Sessions of the prompt `assistant` in this process, in one epoch each."""
    given = {"tasks": tasks, "name": "assistant", "method": "coda", "hyperparameters": SMALL["coda"]}
    return RunSpec.model_validate(given | {"workers": 0, "epochs": 1, "batch_size": 4} | changes)
