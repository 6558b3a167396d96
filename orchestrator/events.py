"""What a run says while it runs: numbers, as JSON lines in the run's folder.

The file is the one source of progress: the terminal and MLflow read it, so neither can hold a run up, and what
MLflow missed is still there. It never holds text of a row.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Event: TypeAlias = Mapping[str, Any]


def append(file: Path, events: Sequence[Event]) -> None:
    """Add events in one write, so that a reader never sees half a line for long."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write("".join(json.dumps(event) + "\n" for event in events))


class Tail:
    """Reads what was added since the last look, or at first all unless told to `skip`; never half a line."""

    def __init__(self, file: Path, *, skip: bool = False) -> None:
        self._file = file
        self._place = file.stat().st_size if skip and file.exists() else 0

    def new(self) -> Iterator[Event]:
        """Events that came since the last call."""
        if not self._file.exists():
            return
        with self._file.open("rb") as opened:
            opened.seek(self._place)
            for line in opened:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                yield json.loads(line)


def last_checkpoint(file: Path) -> str | None:
    """Where the newest checkpoint of a run lies."""
    found = [event["checkpoint"] for event in Tail(file).new() if "checkpoint" in event]
    return found[-1] if found else None
