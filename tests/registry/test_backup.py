"""Copies of the database, made on request and before an upgrade."""

import logging
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import registry as package
from registry import Conflict, Move, Registry, Unavailable
from registry.backup import backup, stamped
from registry.database import read_url

ADA: dict[str, Any] = {"actor": "ada"}
Work = Callable[..., list[str]]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_copy_made_while_others_write_is_of_one_moment(
    database: str, registry: Registry, store: str, tmp_path: Path, publish: Any
) -> None:
    publish()
    done, begun = Event(), Event()

    def write() -> None:
        while not done.is_set():
            publish()
            begun.set()

    writer = Thread(target=write)
    writer.start()
    begun.wait(30)
    path = backup(database, tmp_path / "copies" / "copy.db")
    done.set()
    writer.join()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["copy.db"]
    with closing(Registry.open(f"sqlite:///{path}", store)) as copied:
        numbers = [version.number for version in copied.versions("sentiment")[::-1]]
        assert numbers == list(range(1, len(numbers) + 1))
        assert 2 <= len(numbers) <= len(registry.versions("sentiment"))
        copied.promote([Move("sentiment:1")], **ADA)
        assert copied.verify_history() == 1
    with pytest.raises(Conflict, match="exists"):
        backup(database, path)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_is_dumped_where_its_tool_is_installed(
    database: str, tmp_path: Path, publish: Any, monkeypatch: pytest.MonkeyPatch, postgres: Any
) -> None:
    publish()
    monkeypatch.setenv("PATH", f"{postgres.binaries}:{os.environ['PATH']}")
    path = backup(database, tmp_path / "registry.dump")
    listed = subprocess.run(["pg_restore", "--list", path], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public prompt_version" in listed
    assert "FUNCTION public prompt_version_frozen()" in listed
    with pytest.raises(Unavailable, match="pg_dump failed"):
        backup(database.replace("test_", "no_"), tmp_path / "other.dump")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="needs pg_dump, which is not installed here"):
        backup(database, tmp_path / "other.dump")
    assert os.listdir(tmp_path).count("other.dump") == 0
    assert not list(tmp_path.glob(".tmp-*"))


def test_no_database_and_no_room_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no registry database"):
        backup(f"sqlite:///{tmp_path}/none.db", tmp_path / "copy.db")
    (tmp_path / "file").touch()
    package.upgrade(f"sqlite:///{tmp_path}/registry.db")
    with pytest.raises(Unavailable, match="cannot write"):
        backup(f"sqlite:///{tmp_path}/registry.db", tmp_path / "file" / "copy.db")
    assert stamped("sqlite:////x/registry.db", "0007").startswith("registry-0007-2")


def test_an_upgrade_of_sqlite_keeps_what_was_there_and_says_where(
    empty_database: str, upgrade_to: Callable[[str, str], None], caplog: pytest.LogCaptureFixture, work: Work
) -> None:
    upgrade_to("0002", empty_database)
    caplog.set_level(logging.WARNING)
    assert work("upgrade", empty_database, 4) == [package.head()] * 4
    url = read_url(empty_database)
    if url.get_backend_name() == "postgresql":
        return
    (kept,) = Path(url.database or "").parent.glob("registry-0002-*.db")
    with closing(sqlite3.connect(kept)) as copy:
        assert copy.execute("SELECT version_num FROM promptctl_alembic_version").fetchall() == [("0002",)]
    upgrade_to("0002", f"sqlite:///{kept.parent}/other/registry.db")
    package.upgrade(f"sqlite:///{kept.parent}/other/registry.db")
    (record,) = caplog.records
    assert "is upgraded; as it was, it is kept at" in record.message
    assert package.upgrade(empty_database) == package.head()
    assert len(list(kept.parent.glob("registry-0002-*"))) == 1
