from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from orchestrator.cli.completion import SHELLS
from orchestrator.cli.main import cli
from registry import Move, Registry

Run = Callable[..., Result]


def completed(*words: str) -> list[str]:
    items = ShellComplete(cli, {}, "promptctl", "_PROMPTCTL_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in items]


def test_names_versions_and_aliases_are_completed(home: Path, registry: Registry) -> None:
    registry.promote([Move("sentiment:2")], actor="ada")
    assert completed("promote", "s") == ["sentiment", "shared/default"]
    assert completed("promote", "sentiment:") == ["sentiment:3", "sentiment:2", "sentiment:1"]
    assert completed("prompt", "show", "sentiment@") == ["sentiment@production"]
    assert completed("rollback", "shared") == ["shared/default"]


def test_tasks_are_completed_after_each_comma(home: Path) -> None:
    assert completed("train", "--tasks", "") == ["qa", "sentiment"]
    assert completed("train", "--tasks", "qa,") == ["qa,sentiment"]
    assert completed("task", "show", "se") == ["sentiment"]


def test_commands_and_runs_are_completed(home: Path, registry: Registry) -> None:
    registry.start_run("20260501-aa", {}, actor="ada")
    assert completed("pro") == ["promote", "prompt"]
    assert completed("prompt", "l") == ["list", "log"]
    assert completed("run", "show", "2") == ["20260501-aa"]


def test_completion_without_a_registry_offers_nothing_and_makes_nothing(home: Path) -> None:
    assert completed("promote", "") == []
    assert list(home.iterdir()) == []


def test_a_registry_that_does_not_answer_completes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_DATABASE_URL", "mysql://nowhere/x")
    assert completed("promote", "s") == []


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "bash"])
def test_a_script_is_printed_for_each_shell(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_PROMPTCTL_COMPLETE" in result.stdout


def test_an_unknown_shell_is_usage(run: Run) -> None:
    assert run("completion", "tcsh").exit_code == 2
