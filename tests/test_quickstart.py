"""`make quickstart`'s loop, on a tiny backbone: train, promote, serve, query; the second time without training."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backbones import tiny_bert

ANSWER = re.compile(r"sentiment:1|qa:1")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a path short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pctl"))
    monkeypatch.setenv("PROMPTCTL_HOME", str(folder))
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_bert(folder / "tiny", positions=256)))
    yield folder
    shutil.rmtree(folder)


def quickstart() -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.quickstart"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_the_quickstart_runs_the_whole_loop_and_a_second_run_only_serves() -> None:
    printed, said = quickstart()
    for task in ("qa", "sentiment"):
        assert re.search(rf"^{task}\t{task}:1\t(f1|accuracy)\t0?\.?\d*\t0?\.?\d*\t\d+\t\d+$", printed, re.MULTILINE)
    assert len(ANSWER.findall(printed.split("promptctl serve")[1])) >= 3
    assert not re.search(r"warning|traceback|error|\(raylet\)|WARN", printed + said, re.IGNORECASE)
    again, _ = quickstart()
    assert "$ promptctl train" not in again
    assert len(ANSWER.findall(again.split("promptctl serve")[1])) >= 3
