"""What every test may use: a tiny backbone, and a home that is nobody's."""

import os
import signal
from pathlib import Path

import pytest

# where tests run in the background Ctrl-C is ignored, and the commands they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a promptctl home of its own."""
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("PROMPTCTL_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PROMPTCTL_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny BERT."""
    from tests.backbones import tiny_bert

    return tiny_bert(tmp_path_factory.mktemp("tiny"))
