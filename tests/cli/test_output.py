import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.cli.output import cell, plain
from registry import Registry

Run = Callable[..., Result]
ROOT = Path(__file__).parents[2]
LISTS = {
    "prompts": ("prompt", "list"),
    "versions": ("prompt", "show", "sentiment"),
    "events": ("prompt", "log", "sentiment"),
    "runs": ("run", "list"),
    "tasks": ("task", "list"),
    "options": ("config", "list"),
}


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes when its stdout is a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120"} | environment
    command = [sys.executable, "-m", "orchestrator.cli.main", *arguments]
    written = b""
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        while select.select([ours], [], [], 60)[0]:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


@pytest.mark.parametrize("noun", LISTS)
def test_json_yaml_and_jsonl_hold_the_same_records(run: Run, registry: Registry, noun: str) -> None:
    document = json.loads(run(*LISTS[noun], "-o", "json").stdout)
    assert document["schema_version"] == 1
    assert set(document) == {"schema_version", noun}
    if noun != "options":  # these show the output format itself
        assert yaml.safe_load(run(*LISTS[noun], "-o", "yaml").stdout) == document
        lines = run(*LISTS[noun], "-o", "jsonl").stdout.splitlines()
        assert [json.loads(line) for line in lines] == document[noun]


@pytest.mark.parametrize("noun", ["prompts", "runs"])
def test_an_empty_list_is_a_list(run: Run, noun: str) -> None:
    assert json.loads(run(*LISTS[noun], "-o", "json").stdout)[noun] == []
    assert [run(*LISTS[noun], "-o", output).stdout for output in ("table", "jsonl", "name")] == ["", "", ""]


@pytest.mark.parametrize("noun", LISTS)
def test_a_pipe_gets_plain_rows_of_equal_width(
    run: Run, registry: Registry, noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    registry.start_run("r" * 200, {}, actor="ada")
    result = run(*LISTS[noun])
    assert "\x1b" not in result.stdout + result.stderr
    assert len({line.count("\t") for line in result.stdout.splitlines()}) <= 1
    assert noun != "runs" or "r" * 200 in result.stdout


def test_a_terminal_gets_a_table_with_a_header(home: Path, registry: Registry) -> None:
    written = on_a_terminal("prompt", "list")
    assert "\x1b[1mNAME" in written
    assert "sentiment" in written
    assert "\t" not in written


def test_no_color_is_honoured_on_a_terminal(home: Path, registry: Registry) -> None:
    assert "\x1b[3" not in on_a_terminal("prompt", "list", NO_COLOR="1")


def test_a_name_on_a_terminal_cannot_steer_it() -> None:
    assert cell("a\x1b[2Jb\nc\x9bd") == "a [2Jb c d"


def test_times_are_utc_as_rfc_3339() -> None:
    at = datetime(2026, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert plain({"at": at}) == {"at": "2026-04-30T23:30:00Z"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "yes"), (0.98765, "0.9877"), ({}, ""), ({"a": [1]}, '{"a": [1]}'), (7, "7")]
)
def test_a_cell_is_one_line(value: object, text: str) -> None:
    assert cell(value) == text


def test_an_unknown_format_is_usage() -> None:
    assert CliRunner().invoke(cli, ["prompt", "list", "-o", "xml"]).exit_code == 2
