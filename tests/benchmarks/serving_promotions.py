"""Twenty promotions a second, of four prompts together, while rows of all four are asked for.

Each is a transaction in the registry and a push to the server, as `promptctl promote` does it; none waits for another's
push. An answer is right if all its rows come from one version, which was live at the answer's epoch, and say what that
version says when nothing moves.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TypeAlias

import httpx

from registry import Move

from ._load import OK, Asked, Plan, Report, generator, send
from ._pictures import Line, draw
from ._served import Served, bodies, inputs, names, quantile, served, texts
from ._turns import Results, result

PER_S, SECONDS, STEADY, SLICE = 20, 30.0, 12.0, 3.0  # they begin after a steady time, which comes again behind them
PROMPTS, VERSIONS, TEXTS, CLIENTS = 4, 4, 16, 8
NEAR = 1e-4  # between scores that were computed in different batches
RIGHT, SPEED, LIVE_MS = 1.0, 0.97, 250.0

Golden: TypeAlias = dict[tuple[int, str], float]  # the first label's score, by the text and the version


@dataclass
class Promoted:
    """Which version each epoch made live; how long promotions took in the registry, and until the server had them."""

    live: dict[int, int]
    moved_s: list[float] = field(default_factory=list)
    live_s: list[float] = field(default_factory=list)


def measure() -> Results:
    """One thread; the speed is the median of slices of three seconds."""
    prompts, said = names("task", PROMPTS), texts(TEXTS)
    rows = [row for text in said for row in inputs(prompts, [text] * PROMPTS)]
    with served(prompts, versions=VERSIONS) as server, generator() as pool:
        golden = _golden(server, prompts, said)
        seconds = 2 * STEADY + SECONDS
        plan = Plan(server.predict, bodies(rows, PROMPTS), CLIENTS, seconds=seconds, keep=True)
        loading = pool.submit(send, plan)
        with _promoting(server, prompts, loading) as promoted:
            report = loading.result()
    return _lines(report, promoted, golden)


def _lines(report: Report, promoted: Promoted, golden: Golden) -> Results:
    right = sum(_right(one, promoted.live, golden) for one in report.asked)
    starts = [SLICE * number for number in range(int((2 * STEADY + SECONDS) / SLICE))]
    speeds = [report.within(since, since + SLICE) * PROMPTS for since in starts]
    moving = [STEADY <= since < STEADY + SECONDS for since in starts]
    during, steady = (
        median(speed for speed, moves in zip(speeds[1:], moving[1:], strict=True) if moves is wanted)
        for wanted in (True, False)
    )
    picture = draw("serving_promotions", "rows/s around promotions", [Line("rows/s", speeds, starts)])
    done, late = len(promoted.live_s), quantile(promoted.live_s, 0.95) * 1000
    told = ", ".join(f"{count} x {status}" for status, count in report.statuses().items())
    what = f"{done} promotions of {PROMPTS} prompts in {SECONDS:g} s; requests by status: {told}"
    speed = f"{during:.0f} rows/s, without promotions {steady:.0f}; {picture}"
    halves = (quantile(seconds, 0.5) * 1000 for seconds in (promoted.live_s, promoted.moved_s))
    live = "a transaction and a push, p50 {:.0f} ms; the transaction {:.0f} ms".format(*halves)
    return [
        result("promotions, right answers", right / len(report.asked), RIGHT, what),
        result("promotions, done over asked for", done / (PER_S * SECONDS), SPEED, what),
        result("promotions, rows/s over steady", during / steady, SPEED, speed),
        result("promotions, p95 until live, ms", late, LIVE_MS, live, at_most=True),
    ]


def _right(one: Asked, live: dict[int, int], golden: Golden) -> bool:
    if one.status != OK:
        return False
    outputs = json.loads(one.answer)["outputs"]
    version = live.get(outputs[0]["epoch"])
    return len(outputs) == PROMPTS and all(
        output["version"] == f"{output['prompt']}:{version}"
        and abs(next(iter(output["scores"].values())) - golden[one.body, output["version"]]) < NEAR
        for output in outputs
    )


def _golden(server: Served, prompts: Sequence[str], said: Sequence[str]) -> Golden:
    """What each version says to each text, asked for by its number."""
    pinned = [f"{name}:{number}" for name in prompts for number in range(1, VERSIONS + 1)]
    found: Golden = {}
    with httpx.Client(timeout=60, trust_env=False) as http:
        for index, text in enumerate(said):
            asked = {"inputs": [{"prompt": reference, "text": text} for reference in pinned]}
            outputs = http.post(server.predict, json=asked).raise_for_status().json()["outputs"]
            found |= {(index, one["version"]): next(iter(one["scores"].values())) for one in outputs}
    return found


@contextmanager
def _promoting(server: Served, prompts: Sequence[str], loading: Future[Report]) -> Iterator[Promoted]:
    """Promote in a thread, while the load lasts."""
    promoted, over = Promoted({server.registry.epoch(): 1}), threading.Event()
    loading.add_done_callback(lambda _: over.set())

    def promote() -> None:
        over.wait(STEADY)
        began = perf_counter()
        with httpx.Client(timeout=30, trust_env=False) as http, ThreadPoolExecutor(PER_S) as pushing:
            for number in range(1, int(PER_S * SECONDS) + 1):
                if over.wait(max(0.0, began + number / PER_S - perf_counter())):
                    return
                since, version = perf_counter(), number % VERSIONS + 1
                server.registry.promote([Move(f"{name}:{version}") for name in prompts], actor="bench")
                promoted.live[server.registry.epoch()] = version
                promoted.moved_s.append(perf_counter() - since)
                pushing.submit(push, http, since)

    def push(http: httpx.Client, since: float) -> None:
        http.post(f"{server.config.url}/v1/sync").raise_for_status()
        promoted.live_s.append(perf_counter() - since)

    thread = threading.Thread(target=promote)
    thread.start()
    try:
        yield promoted
    finally:
        thread.join()
