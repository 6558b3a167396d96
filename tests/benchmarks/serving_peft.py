"""Rows of sixteen tasks over HTTP, against peft behind the same HTTP: it sets an adapter for every row."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import httpx

from tests.serve.servers import free_port

from ._load import Plan, generator
from ._served import LENGTH, TASKS, bodies, in_turn, inputs, names, served, texts
from ._turns import Results, result

CLIENTS, ROWS, TURNS = 32, 256, 5
GOALS = {12: 4.0, 32: 4.0}  # how much faster, by tokens of a row
START_S = 120


def measure() -> Results:
    """One thread each; the ratio of the median times."""
    prompts = names("task")
    lines = []
    with served(prompts) as server, _peft() as url, generator() as pool:
        for tokens, goal in GOALS.items():
            requests = bodies(inputs(prompts, texts(ROWS, tokens - 2)))
            plans = (Plan(f"{at}/v1/predict", requests, CLIENTS, ROWS) for at in (server.config.url, url))
            ours, theirs = (median(one.per_s for one in reports) for reports in in_turn(pool, *plans, turns=TURNS))
            what = f"{CLIENTS} clients, {TASKS} prefixes of {LENGTH}: {ours:.0f} rows/s, peft {theirs:.0f}"
            lines.append(result(f"HTTP against peft, {tokens} tokens", ours / theirs, goal, what))
    return lines


@contextmanager
def _peft() -> Iterator[str]:
    """Where it answers."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks._peft_server", str(port), str(TASKS), str(LENGTH)]
    with subprocess.Popen(command) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_S
    with httpx.Client(trust_env=False) as http:
        while process.poll() is None and time.monotonic() < until:
            try:
                http.get(f"{url}/healthz").raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.2)
    raise RuntimeError("peft's server did not start")
