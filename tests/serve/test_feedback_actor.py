"""One desk for several replicas, in an actor that may die."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from methods import Artifact
from registry import Registry
from serve.config import ServeConfig
from serve.feedback.actor import _piece
from serve.feedback.buffer import Held
from serve.feedback.correction import LARGEST, Correction

from .conftest import SENTIMENT, Publish
from .shared_desk import CANARY, LARGE


@pytest.mark.slow
def test_replicas_share_a_desk_and_its_death_is_counted(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("sentiment", make(SENTIMENT, 1))
    with TemporaryDirectory(prefix="pc", dir="/tmp") as short:  # the paths of Ray's sockets have to be short
        done = subprocess.run(
            [sys.executable, "-m", "tests.serve.shared_desk", short, config.database_url, config.store_url],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PROMPTCTL_HOME": short},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["waiting"] == [1, 2, 3, 4]
    assert seen["lent"] == [LARGE + len(CANARY)] * 3
    assert seen["settled"] == [3, 3]
    assert seen["unknown"] == "no such lease, or it has timed out"
    assert seen["dead"] == "the process that held the corrections has ended, and they are lost"
    assert seen["again"] == 1
    assert seen["status"] == [1, 1, 0, 1, 0]  # since the second actor started; 4 - 3 were lost with the first
    (total,) = seen["totals"]
    counted = {kind: total[kind] for kind in ("accepted", "learned", "lost", "unsettled")}
    assert counted == {"accepted": 5, "learned": 3, "lost": 2, "unsettled": 0}  # the last one at the end
    assert seen["files"] > 0
    assert seen["written"] == []


def test_rows_on_loan_travel_in_pieces_that_are_passed_by_value() -> None:
    def held(nbytes: int) -> Held:
        return Held(Correction("a", "a:1", 1, {"text": "x" * (nbytes - 1)}, "+"), datetime.now(UTC))

    half = held(LARGEST // 2 - 2000)  # what pickle adds is counted too
    assert len(_piece([half] * 5)) == 2
    many = _piece([held(8)] * 5000)
    assert 1 < len(many) < 5000
    assert len(pickle.dumps(many)) < 100_000, "Ray's limit"
    assert len(_piece([held(LARGEST), half])) == 1
    assert len(_piece([half, held(LARGEST), half])) == 1
    assert _piece([]) == ()


def test_the_actor_needs_no_torch() -> None:
    code = "import sys, serve.feedback.actor; print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
