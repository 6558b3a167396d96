"""What a person sees of a run: bars on a terminal, a line now and then in a log. Always on stderr."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from . import events

POLL_S = 0.2


class Show(Protocol):
    """Where a run says what it is doing."""

    def say(self, text: str) -> None:
        """One line about what is being waited for."""
        ...

    def event(self, event: events.Event) -> None:
        """One event of the run."""
        ...


class Bars:
    """Progress bars on a terminal; elsewhere one line per tenth of a phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[loss]}"), console=console)
        self._phases: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    @contextmanager
    def live(self) -> Iterator["Bars"]:
        """Draw for the time of the block."""
        if not self._console.is_terminal:
            yield self
            return
        with self._progress:
            yield self

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._console.print(text, highlight=False, markup=False)

    def event(self, event: events.Event) -> None:
        """Move the phase's bar, or print what was measured."""
        if "step" in event:
            self._step(event["phase"], event["step"], event["total"], event["loss"])
        for split in ("validation", "held_out"):
            for task, metrics in event.get(split, {}).items():
                shown = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
                self.say(f"{event['phase']}: {task} {split.replace('_', '-')} {shown}")

    def _step(self, phase: str, step: int, total: int, loss: float | None) -> None:
        known = "" if loss is None else f"loss {loss:.3f}"
        if self._console.is_terminal:
            if phase not in self._phases:
                self._phases[phase] = self._progress.add_task(phase, total=total, loss="")
            self._progress.update(self._phases[phase], completed=step, loss=known)
        elif step * 10 // total != self._tenths.get(phase, 0):
            self._tenths[phase] = step * 10 // total
            self.say(f"{phase}: step {step}/{total}" + (known and f", {known}"))


@contextmanager
def shown(show: Show, file: Path) -> Iterator[None]:
    """Show the events that a file gets in the time of the block."""
    over = threading.Event()
    tail = events.Tail(file, skip=True)

    def follow() -> None:
        last = False
        while not last:
            last = over.wait(POLL_S)
            for event in tail.new():
                show.event(event)

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
