import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from registry import Move, Registry
from registry.store import key_of

Run = Callable[..., Result]


def blob(home: Path, registry: Registry, reference: str) -> Path:
    return home / "store" / key_of(registry.resolve(reference).digest)


def test_versions_are_archived_restored_and_deleted(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:3")], actor="ada")
    planned = run("prompt", "archive", "sentiment:1", "--dry-run")
    assert (planned.exit_code, planned.stdout.split("\t")[:2]) == (0, ["sentiment:1", "ARCHIVED"])
    assert len(registry.versions("sentiment")) == 3
    assert run("prompt", "archive", "sentiment:1", "--reason", "old").exit_code == 0
    assert run("prompt", "show", "sentiment", "-o", "name").stdout.split() == ["sentiment:3", "sentiment:2"]
    assert run("prompt", "show", "sentiment", "--limit", "1", "-o", "name").stdout.split() == ["sentiment:3"]
    assert len(run("prompt", "show", "sentiment", "--archived", "-o", "name").stdout.split()) == 3
    refused = run("promote", "sentiment:1")
    assert refused.exit_code == 5
    assert "promptctl prompt restore sentiment:1" in refused.stderr
    assert run("prompt", "delete", "sentiment:3").exit_code == 5
    assert run("prompt", "restore", "sentiment:1", "-o", "name").stdout == "sentiment:1\n"
    assert run("promote", "sentiment:1").exit_code == 0
    assert run("prompt", "delete", "sentiment:3").exit_code == 0
    assert run("prompt", "show", "sentiment:3").exit_code == 3


def test_gc_removes_exactly_what_its_dry_run_lists(run: Run, registry: Registry, home: Path) -> None:
    gone = blob(home, registry, "sentiment:2")
    run("prompt", "delete", "sentiment:2")
    assert run("gc", "-o", "json").stdout == run("gc", "--dry-run", "-o", "json").stdout
    assert gone.exists(), "deleted less than a day ago"
    before = {path: path.stat().st_mtime for path in home.rglob("*") if path.is_file() and "-shm" not in path.name}
    planned = run("gc", "--grace", "0h", "--dry-run", "-o", "json")
    assert planned.stderr == "dry run: nothing was written\n"
    assert {path: path.stat().st_mtime for path in before} == before
    assert [one["kind"] for one in json.loads(planned.stdout)["removed"]] == ["blob"]
    assert run("gc", "--grace", "0h", "-o", "json").stdout == planned.stdout
    assert not gone.exists()
    assert run("fsck").exit_code == 0


@pytest.mark.parametrize("output", ["table", "json"])
def test_fsck_says_what_is_damaged_and_exits_with_8(run: Run, registry: Registry, home: Path, output: str) -> None:
    assert run("fsck", "-o", output).exit_code == 0
    blob(home, registry, "sentiment:1").write_bytes(b"?")
    blob(home, registry, "sentiment:2").unlink()
    damaged = run("fsck", "-o", output)
    assert damaged.exit_code == 8
    assert "the registry is damaged in 2 places" in damaged.stderr
    assert "sentiment:2: the store at" in damaged.stderr
    if output == "json":
        assert len(json.loads(damaged.stdout)["fsck"]["problems"]) == 2


def test_fsck_and_gc_of_no_registry_make_none(run: Run, home: Path) -> None:
    assert json.loads(run("fsck", "-o", "json").stdout)["fsck"]["versions"] == 0
    assert json.loads(run("gc", "--dry-run", "-o", "json").stdout)["removed"] == []
    assert os.listdir(home) == []


def test_the_database_is_backed_up_where_it_is_said(run: Run, registry: Registry, home: Path, tmp_path: Path) -> None:
    path = Path(run("db", "backup", "-o", "name").stdout.strip())
    assert path.parent == home
    assert path.read_bytes().startswith(b"SQLite format 3")
    assert run("db", "backup", str(tmp_path / "copy.db")).exit_code == 0
    again = run("db", "backup", str(tmp_path / "copy.db"))
    assert (again.exit_code, "exists" in again.stderr) == (5, True)


def test_a_backup_of_nothing_is_refused(run: Run, home: Path) -> None:
    assert run("db", "backup").exit_code == 3
    assert os.listdir(home) == []


def test_a_registry_moves_in_one_file(
    run: Run, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote([Move("sentiment:3")], actor="ada")
    shown = run("prompt", "show", "sentiment", "-o", "json").stdout
    packed = json.loads(run("registry", "export", "all.tar", "-o", "json").stdout)["export"]
    assert (packed["prompts"], packed["versions"]) == (2, 4)
    assert run("registry", "export", "all.tar").exit_code == 5
    monkeypatch.setenv("PROMPTCTL_HOME", str(tmp_path / "elsewhere"))
    planned = run("registry", "import", "all.tar", "--dry-run", "-o", "json")
    assert not (tmp_path / "elsewhere").exists()
    assert run("registry", "import", "all.tar", "-o", "json").stdout == planned.stdout
    assert run("prompt", "show", "sentiment", "-o", "json").stdout == shown
    assert json.loads(run("registry", "import", "all.tar", "-o", "json").stdout)["import"]["versions"] == 0
    Path("all.tar").write_bytes(b"no tar")
    assert run("registry", "import", "all.tar").exit_code == 2
    assert run("registry", "import", "none.tar").exit_code == 3
