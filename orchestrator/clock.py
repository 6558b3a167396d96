"""When a run reports and saves: the first worker's clock decides it for all."""

import time

REPORT_S = 1.0  # seconds between two reports of progress
REPORT, SAVE = 1, 2  # what the first worker may wish for after a step


class Clock:
    """Tells the first worker when it is time to report and to save; the others learn it with the gradients."""

    def __init__(self, checkpoint_s: float, rank: int) -> None:
        self._every = {REPORT: REPORT_S, SAVE: checkpoint_s}
        self._last = dict.fromkeys(self._every, time.monotonic())
        self._rank = rank

    def wish(self) -> int:
        """REPORT and SAVE, added up, where they are due."""
        now = time.monotonic()
        due = [what for what, every in self._every.items() if self._rank == 0 and now - self._last[what] >= every]
        self._last |= dict.fromkeys(due, now)
        return sum(due)
