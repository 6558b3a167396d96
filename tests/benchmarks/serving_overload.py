"""Three times as many rows as the server can answer, for half a minute: it answers as many as ever.

The queue is filled at once in the beginning, so that all of the time is spent at its limit.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import httpx
import psutil

from serve.work.work import QUEUE_TOKENS

from ._load import LOST, Plan, Report, generator, send
from ._pictures import Line, draw
from ._served import Served, bodies, checked, inputs, names, served, texts
from ._turns import Results, result

TIMES, SECONDS, SLICE = 3, 30.0, 5.0
ROWS = 16  # of a request
CLIENTS, REQUESTS, TURNS = 8, 32, 3  # of the turns that measure the peak, before and after
BURST = 600  # requests that more than fill the queue
GOODPUT, MEMORY = 0.9, 1.05


@dataclass
class Watched:
    """What was seen of the server every half second."""

    at_s: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    nbytes: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)  # how long its own status took


def measure() -> Results:
    """One thread, sixteen tasks, rows of SST-2's lengths; the worst slice of five seconds."""
    prompts = names("task")
    requests = bodies(inputs(prompts, texts(512)), ROWS)
    with served(prompts) as server, generator() as pool:
        peaks = _peaks(pool, server, requests)
        peak = median(peaks)
        plan = Plan(server.predict, requests, 4096, seconds=SECONDS, per_s=TIMES * peak, burst=BURST)
        with _watching(server) as seen:
            report = pool.submit(send, plan).result()
        peak = median([*peaks, *_peaks(pool, server, requests)])
    return _lines(peak, report, seen)


def _peaks(pool: ProcessPoolExecutor, server: Served, requests: list[bytes]) -> list[float]:
    plan = Plan(server.predict, requests, CLIENTS, REQUESTS)
    return [checked(pool.submit(send, plan).result()).per_s for _ in range(TURNS + 1)][1:]


def _lines(peak: float, report: Report, seen: Watched) -> Results:
    slices = [report.within(since, since + SLICE) for since in _starts()]
    early = [nbytes for at_s, nbytes in zip(seen.at_s, seen.nbytes, strict=True) if at_s < SECONDS / 3]
    late = [nbytes for at_s, nbytes in zip(seen.at_s, seen.nbytes, strict=True) if SECONDS / 1.5 < at_s < SECONDS]
    lost = report.statuses().get(LOST, 0)
    offered = TIMES * peak * ROWS
    shown = [
        Line("answered", [one * ROWS for one in slices], [since + SLICE / 2 for since in _starts()]),
        Line("peak without overload", [peak * ROWS] * 2, [0.0, SECONDS]),
        Line("offered", [offered] * 2, [0.0, SECONDS]),
    ]
    picture = draw("serving_overload", f"{TIMES} times as much as can be answered", shown)
    worst = min(slices)
    what = f"{worst * ROWS:.0f} rows/s in the worst {SLICE:.0f} s, {offered:.0f} offered, peak {peak * ROWS:.0f}"
    told = ", ".join(f"{count} x {status}" for status, count in report.statuses().items())
    status = f"/v1/status answered within {max(seen.answered_s) * 1000:.0f} ms"
    return [
        result("overload, goodput over peak", worst / peak, GOODPUT, f"{what}; {told}; {picture}"),
        result("overload, requests without an answer", lost / len(report.asked), 0.0, told, at_most=True),
        result(
            "overload, queue over its limit",
            max(seen.tokens) / QUEUE_TOKENS,
            1.0,
            f"{max(seen.tokens):.0f} tokens at the most; {status}",
            at_most=True,
        ),
        result(
            "overload, memory of the last 10 s over the first",
            max(late) / max(early),
            MEMORY,
            f"{max(late) / 1e6:.0f} MB, {max(early) / 1e6:.0f} MB",
            at_most=True,
        ),
    ]


def _starts() -> list[float]:
    return [SLICE * number for number in range(int(SECONDS / SLICE))]


@contextmanager
def _watching(server: Served) -> Iterator[Watched]:
    """Look at the server for the time of the block."""
    seen, stop, began = Watched(), threading.Event(), perf_counter()

    def watch() -> None:
        process = psutil.Process(server.process)
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not stop.wait(0.5):
                asked = perf_counter()
                seen.tokens.append(http.get(f"{server.config.url}/v1/status").json()["waiting_tokens"])
                seen.answered_s.append(perf_counter() - asked)
                seen.nbytes.append(process.memory_info().rss)
                seen.at_s.append(perf_counter() - began)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
