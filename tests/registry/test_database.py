"""How the database is opened, locked and spoken of."""

import pickle
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from registry import Conflict, IntegrityError, Invalid, NotFound, Registry, RegistryError, RunExists, Unavailable
from registry.canonical import digest_of
from registry.database import Database, connect
from registry.store import open_store


def test_a_sqlite_database_is_made_for_its_owner_alone(tmp_path: Path, store: str) -> None:
    path = tmp_path / "new" / "folder" / "registry.db"
    registry = Registry.open(f"sqlite:///{path}", store)
    registry.put_task("nli", {}, actor="ada")
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == dict.fromkeys(["registry.db", "registry.db-wal", "registry.db-shm"], 0o600)
    registry.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["registry.db"]


def test_a_sqlite_connection_waits_checks_foreign_keys_and_logs_ahead(tmp_path: Path) -> None:
    (tmp_path / "touched.db").touch()
    with connect(f"sqlite:///{tmp_path}/touched.db").connect() as connection:
        asked = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "busy_timeout")]
    assert asked == ["wal", 1, 30000]


@pytest.mark.parametrize("url", ["", "mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "not a url"])
def test_only_a_sqlite_file_or_postgresql_holds_a_registry(url: str, store: str) -> None:
    with pytest.raises(Invalid, match="the registry cannot live in"):
        Registry.open(url, store)


def test_a_database_that_is_down_is_unavailable_and_its_password_unsaid(store: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="did not answer") as caught:
        Registry.open(f"postgresql://ada:secret@/prompts?host={tmp_path}", store)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "other.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        Registry.open(f"sqlite:///{tmp_path}/other.db", store)
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot make the registry database"):
        Registry.open(f"sqlite:///{tmp_path}/file/registry.db", store)


def test_a_reader_does_not_wait_for_a_writer_and_sees_one_snapshot(database: str) -> None:
    opened = Database(connect(database))
    count = text("SELECT count(*) FROM task")
    add = text("INSERT INTO task VALUES (:name, '{}', 'ada', '2026-01-01 00:00:00', '2026-01-01 00:00:00')")
    with opened.read() as reader, opened.write() as writer:
        assert reader.scalar(count) == 0
        writer.execute(add, {"name": "a"})
        started = time.perf_counter()
        with opened.read() as other:
            assert other.scalar(count) == 0
        assert time.perf_counter() - started < 0.5
        writer.commit()
        assert reader.scalar(count) == 0
    with opened.read() as reader:
        assert reader.scalar(count) == 1
    opened.engine.dispose()


def test_writers_wait_in_line(database: str) -> None:
    opened, order, inside = Database(connect(database)), [], Event()
    lock = text("UPDATE serving SET epoch = epoch + 1")

    def first() -> None:
        with opened.write() as session:
            session.execute(lock)
            inside.set()
            time.sleep(0.3)
            order.append("first")

    thread = Thread(target=first)
    thread.start()
    inside.wait()
    with opened.write() as session:
        session.execute(lock)
        order.append("second")
    thread.join()
    opened.engine.dispose()
    assert order == ["first", "second"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_reader_cannot_write_on_postgresql(database: str) -> None:
    opened = Database(connect(database))
    with pytest.raises(DBAPIError, match="read-only transaction"), opened.read() as session:
        session.execute(text("UPDATE serving SET epoch = 1"))
    opened.engine.dispose()


def test_a_statement_that_fails_does_not_repeat_its_values(database: str) -> None:
    opened = Database(connect(database))
    with pytest.raises(DBAPIError) as caught, opened.engine.begin() as connection:
        connection.execute(text("INSERT INTO nowhere (name) VALUES (:name)"), {"name": "canary"})
    assert "canary" not in str(caught.value)
    opened.engine.dispose()


def test_no_blob_is_moved_while_a_write_transaction_is_open(database: str, tmp_path: Path) -> None:
    opened, store = Database(connect(database)), open_store(str(tmp_path / "s"))
    digest = digest_of(b"x")
    with pytest.raises(RuntimeError, match="inside a write transaction"), opened.write():
        store.put(digest, b"x")
    with opened.read():
        store.put(digest, b"x")
    assert store.get(digest) == b"x"
    opened.engine.dispose()


@pytest.mark.parametrize("kind", [Invalid, NotFound, Conflict, RunExists, Unavailable, IntegrityError])
def test_an_error_survives_pickling_with_its_hint(kind: Callable[..., RegistryError]) -> None:
    error = kind("what happened", hint="what to do")
    copy: Any = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.hint, copy.code) == (kind, "what happened", "what to do", error.code)


def test_importing_and_opening_the_registry_stays_light(tmp_path: Path) -> None:
    url, store = f"sqlite:///{tmp_path}/registry.db", str(tmp_path / "store")
    Registry.open(url, store).close()
    heavy = {"alembic", "torch", "transformers", "ray", "mlflow", "fastapi", "pydantic", "fsspec"}
    program = f"import sys, registry; registry.Registry.open({url!r}, {store!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not heavy & set(done.stdout.split())
