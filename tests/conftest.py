"""What every test may use: a tiny backbone, and a home that is nobody's."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import ray_privacy

# where tests run in the background Ctrl-C is ignored, and the commands they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"
ray_privacy.apply()  # Ray reads it when it is imported, whichever test does that first


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test has a promptctl home of its own, with a path short enough for Ray's sockets."""
    for name in list(os.environ):
        if name.startswith(("PROMPTCTL_", "MLFLOW_")):
            monkeypatch.delenv(name)
    folder = Path(tempfile.mkdtemp(prefix="home"))
    monkeypatch.setenv("PROMPTCTL_HOME", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny BERT."""
    from tests.backbones import tiny_bert

    return tiny_bert(tmp_path_factory.mktemp("tiny"))
