"""What a process holds when all is quiet, and whether that grows with the requests that it answers."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

QUIET_S = 5.0  # how long open connections may take to end
OBJECTS = 0.05  # of Python's, that a request may leave behind
SLOPE, MEMORY = 3.0, 0.01  # standard errors, and share of the memory, within which its growth is noise


@dataclass(frozen=True)
class Quiet:
    """A process between two phases: what it holds, and how many requests it has answered."""

    requests: int
    rss: int
    files: int
    threads: int
    tasks: int
    objects: int


@dataclass(frozen=True)
class Soaked:
    """What was answered, by its status, and what the process held behind each phase."""

    statuses: Counter[int]
    phases: Sequence[Quiet]

    @property
    def slope(self) -> tuple[float, float]:
        """Bytes of memory that a request adds, in the second half; and the standard error of that."""
        held = [(one.requests, one.rss) for one in self._halves()[1]]
        requests, rss = np.array(held, np.float64).T
        line = np.polyfit(requests, rss, 1)
        left, spread = rss - np.polyval(line, requests), requests - requests.mean()
        return float(line[0]), float(np.sqrt((left**2).sum() / (len(rss) - 2) / (spread**2).sum()))

    def leaks(self) -> list[str]:
        """What there is more of in all of the second half than ever in the first, and memory that goes on growing."""
        early, late = self._halves()
        asked = late[-1].requests - late[0].requests
        least = {"files": 0, "threads": 0, "tasks": 0, "objects": OBJECTS * asked}
        grown = [name for name, noise in least.items() if _grown(early, late, name) > noise]
        slope, error = self.slope
        return grown + ["memory"] * (slope > SLOPE * error and slope * asked > MEMORY * early[0].rss)

    def _halves(self) -> tuple[Sequence[Quiet], Sequence[Quiet]]:
        middle = len(self.phases) // 2
        return self.phases[1:middle], self.phases[middle:]


def _grown(early: Sequence[Quiet], late: Sequence[Quiet], name: str) -> int:
    return min(getattr(one, name) for one in late) - max(getattr(one, name) for one in early)


async def quiet(port: int | None, requests: int) -> Quiet:
    """Look, once no connection of the port is open any more."""
    process, until = psutil.Process(), time.monotonic() + QUIET_S
    while time.monotonic() < until and any(
        one.laddr.port == port and one.status == "ESTABLISHED" for one in process.net_connections("tcp")
    ):
        await asyncio.sleep(0.02)
    gc.collect()
    tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
    return Quiet(requests, process.memory_info().rss, process.num_fds(), process.num_threads(), tasks, objects)
