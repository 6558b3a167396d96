"""What stands before every route of ours, the check of a token among it, against a bare echo in the same Ray Serve."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

from tests.serve.servers import free_port

from ._load import Plan, generator
from ._served import ONE_THREAD, in_turn
from ._turns import Results, result

CLIENTS, REQUESTS, TURNS = 8, 2000, 5
LEAST = 0.85
BODY = json.dumps({"text": "the film was very good, and so was the book that it was made of"}).encode()


def measure() -> Results:
    """The ratio of the median rates of five turns."""
    with _echoes() as (url, token, ingress), generator() as pool:
        plans = (Plan(f"{url}/{app}/v1/echo", [BODY], CLIENTS, REQUESTS, token=token) for app in ("ours", "bare"))
        ours, bare = (median(one.per_s for one in reports) for reports in in_turn(pool, *plans, turns=TURNS))
    what = f"{CLIENTS} clients, {ingress}: {ours:.0f} requests/s with a token, bare {bare:.0f}"
    return [result("authenticated echo on Ray Serve", ours / bare, LEAST, what)]


@contextmanager
def _echoes() -> Iterator[tuple[str, str, str]]:
    """Where both are, the token, and what is in front of them."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks._echoes", str(port)]
    with tempfile.TemporaryDirectory(prefix="pc", dir="/tmp") as home:  # the paths of Ray's sockets have to be short
        with patch.dict(os.environ, ONE_THREAD | {"PROMPTCTL_HOME": home}):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            said = json.loads(process.stdout.readline() or "{}")
            if not said:
                raise RuntimeError("the echoes did not start")
            yield f"http://127.0.0.1:{port}", said["token"], said["ingress"]
            process.stdin.close()
            process.wait(120)
