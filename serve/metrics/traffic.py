"""The last seconds of a server, for who looks at it now."""

import math
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from ..schemas import Traffic

SPAN_S = 10  # over which rows per second are counted
LATEST = 1024  # requests whose latencies are kept


class Window:
    """Rows per second, latencies, and totals since the start. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._process = secrets.token_hex(4)
        self._seconds: Counter[int] = Counter()  # rows by the second they were answered in
        self._latencies: deque[float] = deque(maxlen=LATEST)
        self._lock = threading.Lock()
        self._requests = self._rows = self._rejected = 0

    def add(self, rows: int, seconds: float) -> None:
        """Rows were answered, that long after they came."""
        with self._lock:
            now = int(self._clock())
            self._seconds[now] += rows
            self._drop_before(now - SPAN_S)
            self._latencies.append(seconds)
            self._requests += 1
            self._rows += rows

    def reject(self) -> None:
        """A request was one too many."""
        self._rejected += 1

    def traffic(self) -> Traffic:
        """What the window shows: of the full seconds in it, and of the latest requests."""
        with self._lock:
            now = self._clock()
            self._drop_before(int(now) - SPAN_S)
            seconds, latencies = dict(self._seconds), sorted(self._latencies)
        span_s = min(SPAN_S, max(1.0, now - self._started))
        return Traffic(
            process=self._process,
            requests=self._requests,
            rows=self._rows,
            rejected=self._rejected,
            rows_per_s=round(sum(n for second, n in seconds.items() if second < int(now)) / span_s, 1),
            p50_s=_quantile(latencies, 0.5),
            p99_s=_quantile(latencies, 0.99),
        )

    def _drop_before(self, second: int) -> None:
        for old in [one for one in self._seconds if one < second]:
            del self._seconds[old]


def _quantile(ascending: list[float], share: float) -> float | None:
    """The smallest value that so large a share of the values does not exceed."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None
