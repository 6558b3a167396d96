"""The way from any revision to the head, with others on the same way."""

import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

import registry as package
from registry import Move, Parent, Registry, Unavailable
from registry.canonical import digest_of, hash_of
from registry.database import connect, read_url
from registry.keeping.keeper import Keeper
from registry.store import key_of

Work = Callable[..., list[str]]

HEAD = package.head()
NEXT = f"{int(HEAD) + 1:04}"

REBUILD = f'''"""Rebuild a table that others refer to."""

from alembic import op
import sqlalchemy as sa

revision, down_revision = "{NEXT}", "{HEAD}"


def upgrade() -> None:
    with op.batch_alter_table("prompt", recreate="auto") as batch:
        batch.add_column(sa.Column("note", sa.String(), nullable=True))
        batch.alter_column("created_by", nullable=True)
'''

ORPHAN = f'''"""Leave a version without its prompt."""

from alembic import op

revision, down_revision = "{NEXT}", "{HEAD}"


def upgrade() -> None:
    op.execute("CREATE TABLE half (id INTEGER)")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DELETE FROM prompt")
    else:
        op.execute("SELECT 1 / 0")
'''


@pytest.fixture
def later(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a later release of `migrations`, which has one more revision."""

    def later(revision: str) -> Path:
        shutil.copytree(str(files("migrations")), tmp_path / "later" / "migrations")
        (tmp_path / "later" / "migrations" / "versions" / f"{NEXT}_next.py").write_text(revision)
        return tmp_path / "later"

    return later


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    engine = connect(empty_database)
    yield engine
    engine.dispose()


def test_an_upgraded_database_has_the_tables_of_the_models(empty_database: str) -> None:
    assert package.current(empty_database) is None
    assert package.upgrade(empty_database) == HEAD
    assert package.current(empty_database) == HEAD
    assert package.check(empty_database) == []


def test_a_difference_from_the_models_is_told(empty_database: str, engine: Engine) -> None:
    assert "add_table task" in package.check(empty_database)
    package.upgrade(empty_database)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE task DROP COLUMN created_by"))
        connection.execute(text("ALTER TABLE task ADD COLUMN extra INTEGER"))
    assert sorted(line.split(" ")[0] for line in package.check(empty_database)) == ["add_column", "remove_column"]


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert package.current(f"sqlite:///{tmp_path}/none.db") is None
    assert list(tmp_path.iterdir()) == []


def test_others_may_keep_their_tables_and_revisions_in_the_same_database(empty_database: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('f5a4f2784254')"))
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
    package.upgrade(empty_database)
    assert package.check(empty_database) == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "f5a4f2784254"


def test_opening_upgrades_sqlite_and_asks_to_upgrade_postgresql(empty_database: str, store: str) -> None:
    if read_url(empty_database).get_backend_name() == "postgresql":
        with pytest.raises(Unavailable, match=f"is empty; this promptctl needs revision {HEAD}") as caught:
            Registry.open(empty_database, store)
        assert caught.value.hint == "run: promptctl db upgrade"
        assert package.current(empty_database) is None
        package.upgrade(empty_database)
    Registry.open(empty_database, store).close()
    assert package.current(empty_database) == HEAD


def test_upgrading_says_nothing(
    empty_database: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    package.upgrade(empty_database)
    package.check(empty_database)
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")


def test_four_upgrades_at_once_all_succeed(empty_database: str, work: Work) -> None:
    assert work("upgrade", empty_database, 4) == [HEAD] * 4
    assert package.check(empty_database) == []


def test_an_upgrade_killed_at_any_statement_can_be_run_again(empty_database: str, work: Work) -> None:
    seen = work("killed_upgrade", empty_database)
    assert len(seen) > 25
    assert seen[0] == "99 None"
    assert seen[-2:] == [HEAD, f"0 {HEAD}"]
    assert set(seen[1:-2]) <= {"99 None", f"99 {HEAD}"}
    assert package.check(empty_database) == []


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(
    database: str, registry: Registry, publish: Callable[..., package.Version], later: Callable[[str], Path], work: Work
) -> None:
    first = publish()
    publish(parents=[Parent(first.id, "init")])
    registry.promote([Move("sentiment:2")], actor="ada")
    assert work("upgrade", database, 1, path=later(REBUILD)) == [NEXT]
    assert [version.parents != () for version in registry.versions("sentiment")] == [True, False]
    assert registry.verify_history() == 1
    assert registry.resolve("sentiment").number == 2


def test_a_history_from_before_there_were_candidates_stays_whole_and_frozen(
    empty_database: str, engine: Engine, store: str, upgrade_to: Callable[[str, str], None]
) -> None:
    upgrade_to("0002", empty_database)
    at = datetime(2026, 5, 1, tzinfo=UTC)
    step = {"name": "old", "alias": "production", "generation": 1, "old": None, "new": 1, "action": "set"}
    step |= {"actor": "ada", "reason": "", "at": at.isoformat(), "previous": ""}
    row = step | {"at": at if engine.dialect.name == "postgresql" else "2026-05-01 00:00:00.000000"}
    columns = "prompt_id, number, state, digest, size, card, idempotency_key, created_by, created_at, message"
    with engine.begin() as connection:
        said = row | {"hash": hash_of(step)}
        for statement in (
            "INSERT INTO prompt (id, name, next_number, created_by, created_at) VALUES (7, :name, 2, :actor, :at)",
            f"INSERT INTO prompt_version ({columns}) VALUES (7, 1, 'READY', 'd', 1, '{{}}', 'k', :actor, :at, '')",
            "INSERT INTO alias (prompt_id, name, number, generation) VALUES (7, :alias, 1, 1)",
            "INSERT INTO alias_event (prompt_id, alias, generation, old, new, action, actor, reason, at, previous,"
            " hash) VALUES (7, :alias, 1, :old, 1, :action, :actor, :reason, :at, '', :hash)",
            "UPDATE serving SET epoch = 1, head = :hash",
        ):
            connection.execute(text(statement), said)
    package.upgrade(empty_database)
    registry = Registry.open(empty_database, store)
    assert registry.verify_history() == 1
    registry.publish("old", b"two", {}, idempotency_key="two", actor="ada")
    (event,) = registry.promote([Move("old:2", percent=10)], actor="ada")
    assert (event.generation, event.old, event.new, event.candidate, event.percent) == (2, 1, 1, 2, 10)
    assert registry.verify_history() == 2
    for statement in ("UPDATE alias_event SET candidate = NULL", "DELETE FROM alias_event"):
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    registry.close()


def test_versions_from_before_blobs_had_rows_keep_their_bytes_and_can_be_retired(
    empty_database: str, engine: Engine, store: str, upgrade_to: Callable[[str, str], None], work: Work
) -> None:
    """A READY version, its child, and one that is PENDING, of revision 0004, upgraded by processes that are killed."""
    upgrade_to("0004", empty_database)
    blob, other = b"soft", b"half"
    key = Path(store) / key_of(digest_of(blob))
    key.parent.mkdir(parents=True)
    key.write_bytes(blob)
    at = datetime(2026, 5, 1, tzinfo=UTC)
    said = {"at": at if engine.dialect.name == "postgresql" else "2026-05-01 00:00:00.000000"}
    columns = "id, prompt_id, number, state, digest, size, card, idempotency_key, created_by, created_at, message"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO prompt (id, name, next_number, created_by, created_at) VALUES (7, 'old', 4, 'ada', :at)"),
            said,
        )
        for number, state, digest in ((1, "READY", blob), (2, "PENDING", blob), (3, "PENDING", other)):
            connection.execute(
                text(
                    f"INSERT INTO prompt_version ({columns}) VALUES "
                    f"(:number, 7, :number, :state, :digest, 4, '{{}}', :key, 'ada', :at, '')"
                ),
                said | {"number": number, "state": state, "digest": digest_of(digest), "key": f"k{number}"},
            )
        connection.execute(text("INSERT INTO version_parent VALUES (2, 1, 'init')"))
        connection.execute(text("UPDATE prompt_version SET state = 'READY' WHERE number = 2"))
    seen = work("killed_upgrade", empty_database)
    assert len(seen) > 15
    assert set(seen[:-2]) <= {"99 0004", f"99 {HEAD}"}
    assert package.current(empty_database) == HEAD
    assert package.check(empty_database) == []
    registry, keeper = Registry.open(empty_database, store), Keeper.open(empty_database, store)
    health = keeper.check()
    assert (health.versions, health.blobs, health.pending, health.problems) == (2, 1, 1, ())
    assert registry.fetch(registry.resolve("old:2")) == blob
    registry.retire(["old:1", "old:2"], "delete", actor="ada")
    assert [(one.kind, one.name) for one in keeper.collect(timedelta(0))] == [
        ("version", "old:3"),
        *sorted(("blob", digest_of(bytes)) for bytes in (blob, other)),
    ]
    assert not key.exists()
    for statement in ("UPDATE prompt_version SET size = 5", "UPDATE version_parent SET role = 'x'"):
        with pytest.raises(IntegrityError, match="immutable"), engine.begin() as connection:
            connection.execute(text(statement))
    registry.close()
    keeper.close()


def test_a_newer_database_is_refused_by_both_revisions_names(
    database: str, store: str, later: Callable[[str], Path], work: Work
) -> None:
    work("upgrade", database, 1, path=later(REBUILD))
    for act in (package.upgrade, lambda url: Registry.open(url, store)):
        said = f"is at revision {NEXT}; this promptctl knows revisions up to {HEAD}"
        with pytest.raises(Unavailable, match=said) as e:
            act(database)
        assert e.value.hint == "upgrade promptctl, or restore a backup of the database"
    assert package.current(database) == NEXT


def test_an_older_database_is_upgraded_or_refused_on_opening(
    database: str, store: str, later: Callable[[str], Path], work: Work
) -> None:
    sqlite = read_url(database).get_backend_name() == "sqlite"
    said = work("open_registry", database, store, path=later(REBUILD))
    assert said == (
        [NEXT] if sqlite else [f"the registry database is at revision {HEAD}; this promptctl needs revision {NEXT}"]
    )


def test_a_migration_that_breaks_or_orphans_leaves_the_database_as_it_was(
    database: str, publish: Callable[..., package.Version], later: Callable[[str], Path], work: Work
) -> None:
    publish()
    with pytest.raises(AssertionError, match=r"would leave 1 rows without their parents|division by zero"):
        work("upgrade", database, 1, path=later(ORPHAN))
    assert package.current(database) == HEAD
    assert package.check(database) == []
    engine = connect(database)
    assert inspect(engine).has_table("prompt")
    assert not inspect(engine).has_table("half")
    engine.dispose()
