"""Writes the demonstration data: python -m orchestrator.demo.generate. The same bytes every time."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from . import passages, reviews
from .tables import SPLITS, Tables, load

FOLDER = Path(__file__).parent
ROWS = {
    "sentiment": {"train": 480, "validation": 120, "test": 160},
    "qa": {"train": 480, "validation": 96, "test": 128},
}
_COMPOSE: dict[str, Callable[[Tables, int, Random], Sequence[dict[str, Any]]]] = {
    "sentiment": reviews.compose,
    "qa": passages.compose,
}


def files() -> Iterator[tuple[str, bytes]]:
    """The path of each data file, relative to this folder, and its bytes."""
    for task, sizes in ROWS.items():
        for split in SPLITS:
            rows = _COMPOSE[task](load(split), sizes[split], Random(f"{task}/{split}"))
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            yield f"{task}/{split}.jsonl", "".join(lines).encode()


def write(folder: Path = FOLDER) -> None:
    """Writes the data files under `folder`."""
    for path, content in files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


if __name__ == "__main__":
    write()
