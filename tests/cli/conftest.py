from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from registry import Registry

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, an empty user configuration, an empty current folder."""
    for name in ("home", "config", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PROMPTCTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    """Run one command line as a script would: no terminal on either side."""

    def invoke(*arguments: str, stdin: str | bytes = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin)

    return invoke


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    """A registry with three versions of sentiment and one of a shared prompt."""
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        for number in (1, 2, 3):
            card = {"method": "mpt", "metrics": {"accuracy": 0.5 + number / 10}}
            opened.publish("sentiment", b"%d" % number, card, idempotency_key=f"s{number}", actor="ada")
        opened.publish("shared/default", b"p", {}, idempotency_key="p", actor="ada")
        yield opened
