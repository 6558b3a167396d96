import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below this one, with how it is called."""
    if path:
        yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            loaded = next((lazy.load() for lazy in COMMANDS if lazy is below), below)
            yield from commands(loaded, (*path, name))


EVERY = dict(commands(cli))


def test_each_command_is_there() -> None:
    assert {" ".join(path) for path in EVERY} == {
        *("train", "compare", "promote", "rollback", "query", "serve", "completion"),
        *("feedback", "feedback send", "feedback list", "feedback drop", "correct"),
        *("continual", "continual report", "continual bench"),
        *("privacy", "privacy audit", "doctor"),
        *("key", "key create", "key list", "key revoke", "prompt sign", "prompt verify", "prompt tag"),
        *("webhook", "webhook create", "webhook list", "webhook delete", "webhook test", "webhook deliver"),
        *("serve status", "top", "token", "token create", "token list", "token revoke"),
        *("task", "task add", "task apply", "task list", "task show"),
        *("prompt", "prompt list", "prompt show", "prompt log", "prompt import", "prompt export"),
        *("prompt create", "prompt render", "prompt evaluate", "prompt explain", "prompt diff", "prompt mix"),
        *("run", "run list", "run show"),
        *("prompt archive", "prompt restore", "prompt delete"),
        *("registry", "registry export", "registry import", "fsck", "gc"),
        *("db", "db upgrade", "db current", "db check", "db backup"),
        *("prompt gates", "prompt approvals", "approve", "alias", "alias list", "alias history"),
        *("audit", "audit list", "audit verify"),
        *("config", "config list"),
    }


@pytest.mark.parametrize("lazy", COMMANDS, ids=lambda lazy: lazy.name)
def test_the_summary_in_the_list_is_the_commands_own(lazy: click.Command) -> None:
    full = EVERY[(lazy.name or "",)].help or ""
    assert lazy.short_help == full.split("\n")[0]


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_has_a_one_line_summary_examples_and_a_word_on_each_option(path: tuple[str, ...]) -> None:
    command = EVERY[path]
    summary, _, rest = (command.help or "").partition("\n")
    assert summary.endswith(".")
    assert len(summary) <= 62
    if not isinstance(command, click.Group):
        assert "\b" in rest
        assert f"promptctl {' '.join(path)}" in rest
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    shown = CliRunner().invoke(cli, [*path, "--help"])
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.stdout.splitlines()) <= 96


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_each_example_can_be_parsed(path: tuple[str, ...]) -> None:
    for line in map(str.strip, (EVERY[path].help or "").splitlines()):
        if line.startswith("promptctl "):
            words = shlex.split(re.split(r" [<>]|  ", line)[0])[1:]
            depth = next(depth for depth in (2, 1) if tuple(words[:depth]) in EVERY)
            with EVERY[tuple(words[:depth])].make_context("example", words[depth:]):
                pass


def modules_after(*arguments: str, **environment: str) -> set[str]:
    """The top-level packages that a command line imports."""
    code = (
        "import sys\nfrom orchestrator.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout != ""
    return set(done.stderr.split())


HEAVY = {"torch", "transformers", "ray", "mlflow", "sqlalchemy", "alembic", "pydantic", "fsspec", "rich", "yaml"}


@pytest.mark.parametrize(
    "path", [(), *(path for path in EVERY if path not in {("completion",)})], ids=lambda p: " ".join(p) or "promptctl"
)
def test_help_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    assert modules_after(*path, "--help") & HEAVY == set()


def test_completing_a_command_imports_nothing_heavy() -> None:
    environment = {"_PROMPTCTL_COMPLETE": "bash_complete", "COMP_WORDS": "promptctl pro", "COMP_CWORD": "1"}
    assert modules_after(**environment) & HEAVY == set()


@pytest.mark.parametrize("command", ["prompt list", "task list", "run list", "db current"])
def test_reading_the_registry_needs_no_torch(home: Path, command: str) -> None:
    loaded = modules_after(*command.split(), "-o", "json")
    assert loaded & {"torch", "transformers", "ray", "mlflow"} == set()
    assert "sqlalchemy" in loaded


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"promptctl, version {version('promptctl')}\n"
