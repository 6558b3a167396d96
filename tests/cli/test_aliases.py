import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from registry import Move, Registry

Run = Callable[..., Result]


def content(home: Path) -> str:
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        return "\n".join(connection.iterdump())


def aliases(registry: Registry) -> dict[str, int]:
    return dict(next(prompt.aliases for prompt in registry.prompts() if prompt.name == "sentiment"))


def test_promote_moves_production_unless_told_otherwise(run: Run, registry: Registry) -> None:
    result = run("promote", "sentiment:2", "--reason", "better")
    assert (result.exit_code, result.stdout) == (0, "sentiment\tproduction\t\t2\n")
    assert run("promote", "sentiment:3", "--to", "staging").exit_code == 0
    assert aliases(registry) == {"production": 2, "staging": 3}
    assert registry.history("sentiment", "production")[0].reason == "better"


def test_several_promotions_happen_together_or_not_at_all(run: Run, registry: Registry) -> None:
    refused = run("promote", "sentiment:2", "qa:1")
    assert refused.exit_code == 3
    assert aliases(registry) == {}
    both = run("promote", "sentiment:2", "shared/default:1", "-o", "json")
    assert both.exit_code == 0
    assert [(move["name"], move["new"]) for move in json.loads(both.stdout)["moves"]] == [
        ("sentiment", 2),
        ("shared/default", 1),
    ]


def test_rollback_returns_to_the_version_before(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:1")], actor="ada")
    registry.promote([Move("sentiment:3")], actor="ada")
    result = run("rollback", "sentiment", "--reason", "worse")
    assert (result.exit_code, result.stdout) == (0, "sentiment\tproduction\t3\t1\n")
    assert aliases(registry) == {"production": 1}


def test_rollback_of_another_alias_leaves_production(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    registry.promote([Move("sentiment:2", "staging")], actor="ada")
    assert run("rollback", "sentiment", "--on", "staging").exit_code == 0
    assert aliases(registry) == {"production": 1, "staging": 1}


@pytest.mark.parametrize("command", [("promote", "sentiment:3"), ("rollback", "sentiment")])
def test_a_dry_run_shows_the_plan_and_leaves_the_database_alone(
    run: Run, registry: Registry, home: Path, command: tuple[str, ...]
) -> None:
    registry.promote([Move("sentiment:1")], actor="ada")
    registry.promote([Move("sentiment:2")], actor="ada")
    before = content(home)
    planned = run(*command, "--dry-run")
    assert planned.exit_code == 0
    assert planned.stderr == "dry run: nothing was written\n"
    assert content(home) == before
    assert run(*command).stdout == planned.stdout
    assert content(home) != before


def test_a_dry_run_fails_as_the_real_run_would(run: Run, registry: Registry) -> None:
    assert run("promote", "sentiment:9", "--dry-run").exit_code == 3
    assert run("rollback", "sentiment", "--dry-run").exit_code == run("rollback", "sentiment").exit_code != 0


def test_a_dry_run_without_a_registry_makes_none(run: Run, home: Path) -> None:
    assert run("promote", "sentiment:1", "--dry-run").exit_code == 3
    assert list(home.iterdir()) == []


def test_the_log_tells_the_line_newest_first(run: Run, registry: Registry) -> None:
    run("promote", "sentiment:1", "--reason", "first\tof\x1b[31m all")
    run("promote", "sentiment:2")
    rows = [line.split("\t") for line in run("prompt", "log", "sentiment").stdout.splitlines()]
    assert [row[1:5] for row in rows] == [["production", "1", "2", "set"], ["production", "", "1", "set"]]
    assert rows[1][6] == "first of [31m all"
    assert run("prompt", "log", "sentiment", "--alias", "staging").stdout == ""
