"""A run on real Ray workers: killed, doubled, and quiet."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from methods import Artifact, Prefix
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.events import Tail
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec
from tests.shows import Heard

pytestmark = pytest.mark.slow
SET = {"epochs": 40, "batch_size": 4, "hyperparameters": {"length": 5}}


@pytest.fixture
def settings(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home with a path short enough for Ray's sockets, and one task, `mood`."""
    home = Path(tempfile.mkdtemp(prefix="pctl"))
    monkeypatch.setenv("PROMPTCTL_HOME", str(home))
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    monkeypatch.setenv("PROMPTCTL_CHECKPOINT_S", "0.5")
    for split, things in {"train": ("film", "book", "hotel"), "validation": ("train",)}.items():
        rows = [{"text": f"a very good {thing}", "label": "good"} for thing in things]
        rows += [{"text": f"the {thing} was dull", "label": "bad"} for thing in things]
        (home / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--train", str(home / "train.jsonl"), "--validation", str(home / "validation.jsonl")]
    promptctl("task", "add", "mood", "--kind", "classification", *files)
    yield Settings()
    shutil.rmtree(home)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli.main", *arguments]


def promptctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=True)


def training(workers: int) -> list[str]:
    return command("train", "--tasks", "mood", "--epochs", "40", "--batch-size", "4", "--set", "length=5",
                   "--workers", str(workers))  # fmt: skip


def here(settings: Settings) -> str:
    """The digest of the same run without a cluster."""
    spec = RunSpec.model_validate(SET | {"tasks": ["mood"], "workers": 0})
    return runs.train(spec, settings, Heard()).rows[0].digest


def newest(settings: Settings) -> Artifact:
    with opened(settings) as registry:
        return Artifact.from_bytes(registry.fetch(registry.versions("mood")[0]))


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(process.pid).children(recursive=True)
    return next(child for child in children if "RayTrainWorker" in " ".join(child.cmdline()))


def test_a_worker_killed_in_mid_run_is_restarted_and_the_bytes_are_the_same(settings: Settings) -> None:
    process = subprocess.Popen(training(1), text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    killed = False
    while not killed and time.monotonic() < deadline:
        for file in settings.runs.glob("*/events.jsonl"):
            if any(event.get("phase") == "mpt" and "step" in event for event in Tail(file).new()):
                os.kill(worker_of(process).pid, signal.SIGKILL)
                killed = True
        time.sleep(0.02)
    output, errors = process.communicate(timeout=180)
    assert killed
    assert process.returncode == 0, errors
    assert output.startswith("mood\tmood:1\taccuracy\t")
    (file,) = settings.runs.glob("*/events.jsonl")
    steps = [event["step"] for event in Tail(file).new() if event.get("phase") == "mpt" and "step" in event]
    assert steps[-1] == 80
    with opened(settings) as registry:
        assert registry.versions("mood")[0].digest == here(settings)


def test_two_workers_say_what_they_wait_for_and_come_to_what_one_comes_to(settings: Settings) -> None:
    """Sums of floats in another order, through 80 steps of AdamW: within 1e-3 of values of size 1."""
    done = subprocess.run(training(2), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = ("checking", "starting Ray", "head-only:", "mpt:", "publishing", "run ", "next:")
    assert [line for line in done.stderr.splitlines() if not line.startswith(known)] == []
    assert not list((settings.home / "ray").rglob("session_2*"))
    both = newest(settings).form
    here(settings)
    alone = newest(settings).form
    assert isinstance(both, Prefix)
    assert isinstance(alone, Prefix)
    torch.testing.assert_close(both.key_values, alone.key_values, atol=1e-3, rtol=0)


def test_ctrl_c_stops_a_run_that_then_goes_on(settings: Settings) -> None:
    process = subprocess.Popen(training(1), text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(settings.runs.glob("*/events.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    with opened(settings) as registry:
        (run,) = registry.runs()
    assert run.status == "INTERRUPTED"
    assert f"to go on: promptctl train --resume {run.id}" in errors
    assert promptctl("train", "--resume", run.id).stdout.startswith("mood\tmood:1\taccuracy\t")
