import json
from collections.abc import Callable

import pytest
from click.testing import Result

from registry import Move, Registry

Run = Callable[..., Result]


def test_prompts_are_listed_with_their_aliases(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:1"), Move("sentiment:3", "staging")], actor="ada")
    rows = [line.split("\t") for line in run("prompt", "list").stdout.splitlines()]
    assert [row[:4] for row in rows] == [
        ["sentiment", "task", "3", "production:1, staging:3"],
        ["shared/default", "shared", "1", ""],
    ]
    listed = json.loads(run("prompt", "list", "-o", "json").stdout)
    assert listed["prompts"][0]["aliases"] == {"production": 1, "staging": 3}


def test_a_name_shows_its_versions_newest_first(run: Run, registry: Registry) -> None:
    assert run("prompt", "show", "sentiment", "-o", "name").stdout.split() == [f"sentiment:{n}" for n in (3, 2, 1)]


@pytest.mark.parametrize("form", ["sentiment:2", "sentiment@production", "sentiment@sha256:{digest}"])
def test_a_reference_shows_one_version_with_its_card(run: Run, registry: Registry, form: str) -> None:
    registry.promote([Move("sentiment:2")], actor="ada")
    digest = registry.resolve("sentiment:2").digest.removeprefix("sha256:")[:8]
    version = json.loads(run("prompt", "show", form.format(digest=digest), "-o", "json").stdout)["version"]
    assert (version["reference"], version["number"]) == ("sentiment:2", 2)
    assert version["card"]["metrics"] == {"accuracy": 0.7}


def test_a_run_is_listed_and_shown(run: Run, registry: Registry) -> None:
    registry.start_run("r1", {"epochs": 2}, actor="ada")
    assert run("run", "list").stdout.split("\t")[:3] == ["r1", "RUNNING", "1"]
    assert json.loads(run("run", "show", "r1", "-o", "json").stdout)["run"]["config"] == {"epochs": 2}
    assert run("run", "show", "r2").exit_code == 3


def test_the_database_says_its_revision(run: Run) -> None:
    planned = json.loads(run("db", "upgrade", "--dry-run", "-o", "json").stdout)["upgrade"]
    assert planned["before"] is None
    assert json.loads(run("db", "current", "-o", "json").stdout)["revision"]["current"] is None
    assert run("db", "check").exit_code == 7
    assert run("db", "upgrade").exit_code == 0
    assert run("db", "current", "-o", "name").stdout.strip() == planned["after"]
    assert (run("db", "check").exit_code, run("db", "check", "-o", "jsonl").stdout) == (0, "")
