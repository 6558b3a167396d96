import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.failures import EXIT_CODES, report
from orchestrator.cli.lazy import Root
from orchestrator.cli.options import output_option
from orchestrator.errors import RunFailed

Run = Callable[..., Result]
ROOT = Path(__file__).parents[2]


def failing(error: BaseException) -> Root:
    """The real group with one command that raises."""

    @click.command()
    @output_option
    def fail(output: str) -> None:
        raise error

    return Root("promptctl", commands=[fail])


def coded(code: str) -> Exception:
    kind = type("Coded", (Exception,), {"code": code, "hint": "do this\nthen that"})
    return kind("what happened")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("invalid", 2),
        ("not_found", 3),
        ("auth", 4),
        ("conflict", 5),
        ("refused", 6),
        ("unavailable", 7),
        ("integrity", 8),
        ("run_failed", 9),
        ("overloaded", 7),
        ("timed_out", 7),
    ],
)
def test_a_code_becomes_an_exit_code_and_an_error_one_line_with_its_hint(code: str, exit_code: int) -> None:
    result = CliRunner().invoke(failing(coded(code)), ["fail"])
    assert result.exit_code == exit_code
    assert result.stderr == "error: what happened\n  do this\n  then that\n"
    assert result.stdout == ""
    assert len(EXIT_CODES) == 10


def test_with_json_an_error_is_one_object_on_stderr() -> None:
    result = CliRunner().invoke(failing(coded("conflict")), ["fail", "-o", "json"])
    assert result.stdout == ""
    assert json.loads(result.stderr) == {
        "error": {"code": "conflict", "message": "what happened", "hint": "do this\nthen that", "retryable": True}
    }


@pytest.mark.parametrize("option", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_a_command_line_that_cannot_be_parsed_fails_in_the_format_it_asks_for(run: Run, option: list[str]) -> None:
    result = run("prompt", "list", "--bogus", *option)
    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["hint"] == "see: promptctl prompt list --help"


def test_usage_is_one_line_with_the_way_to_help(run: Run) -> None:
    result = run("trian")
    assert result.exit_code == 2
    assert result.stderr == "error: No such command 'trian'. Did you mean 'train'?\n  see: promptctl --help\n"


def test_an_interruption_is_130() -> None:
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.stderr) == (130, "error: interrupted\n")


def test_the_unexpected_is_named_by_class_and_place_and_repeats_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    group = failing(ZeroDivisionError("a sentence nobody may repeat"))
    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unexpected ZeroDivisionError in test_failures.py:")
    assert "sentence" not in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("PROMPTCTL_DEBUG", "1")
    debugged = CliRunner().invoke(group, ["fail"])
    assert debugged.exit_code == 1
    assert "Traceback (most recent call last)" in debugged.stderr


def test_a_system_error_names_its_file() -> None:
    result = CliRunner().invoke(failing(PermissionError(13, "Permission denied", "/x/y")), ["fail"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: Permission denied: /x/y (PermissionError)\n")


def test_another_librarys_code_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(coded("e3q8"), as_json=False) == 1
    assert "unexpected Coded" in capsys.readouterr().err


def test_our_errors_travel_between_processes_and_keep_their_code() -> None:
    error = pickle.loads(pickle.dumps(RunFailed("lost", hint="resume")))
    assert CliRunner().invoke(failing(error), ["fail"]).exit_code == 9


def test_a_closed_pipe_is_silent(home: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orchestrator.cli.main", "task", "list", "-o", "json"]
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=environment) as process:
        os.close(writer)
        _, complaint = process.communicate(timeout=60)
    assert complaint == b""
    assert process.returncode == 1


def test_a_setting_that_makes_no_sense_is_invalid(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_CHECKPOINT_S", "soon")
    result = run("prompt", "list")
    assert result.exit_code == 2
    assert "settings: checkpoint_s" in result.stderr
    assert "soon" not in result.stderr
