"""What a person sees of a comparison: how many cells are done and the newest result. Always on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..events import Event


class Cells:
    """One bar on a terminal with a line per cell above it; elsewhere the lines alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._done = self._total = 0

    @contextmanager
    def live(self) -> Iterator["Cells"]:
        """Draw for the time of the block."""
        if not self._console.is_terminal:
            yield self
            return
        with self._progress:
            yield self

    def begin(self, done: int, total: int) -> None:
        """How many cells there are, and how many an earlier run has left done."""
        self._done, self._total = done, total
        if self._console.is_terminal:
            self._progress.add_task("cells", completed=done, total=total)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def event(self, event: Event) -> None:
        """A cell's line: what it came to."""
        self._done += 1
        for task_id in self._progress.task_ids:
            self._progress.update(task_id, completed=self._done)
        results = "  ".join(
            f"{task} {result['metric']} {result['value']:.3f}" for task, result in event.get("results", {}).items()
        )
        self.say(f"{self._done}/{self._total} {event['cell']}: {results or 'failed: ' + event['failed']}")
