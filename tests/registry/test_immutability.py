"""The database itself refuses to change what must not change, whoever asks."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as Refused

from registry import IntegrityError, Move, Parent, Registry
from registry.database import connect


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    """A connection that knows nothing of the registry's own code."""
    engine = connect(database)
    yield engine
    engine.dispose()


@pytest.fixture
def history(registry: Registry, publish: Any) -> None:
    """Two versions, the second made from the first, and three events."""
    first = publish()
    publish(parents=[Parent(first.id, "init")])
    for move in (Move("sentiment:1"), Move("sentiment:2"), Move("sentiment:1", "staging")):
        registry.promote([move], actor="ada")


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE prompt_version SET digest = 'sha256:0' WHERE number = 1", "immutable"),
        ("UPDATE prompt_version SET state = 'PENDING'", "immutable"),
        ("UPDATE prompt_version SET card = '{}'", "immutable"),
        ("DELETE FROM prompt_version WHERE number = 2", "immutable"),
        ("UPDATE version_parent SET role = 'shared'", "immutable"),
        ("DELETE FROM version_parent", "immutable"),
        ("INSERT INTO version_parent SELECT id, id, 'init' FROM prompt_version", "no more parents"),
        ("UPDATE alias_event SET reason = 'none'", "append-only"),
        ("DELETE FROM alias_event WHERE generation = 1", "append-only"),
        ("DELETE FROM prompt", "(?i)foreign key"),
    ],
)
def test_raw_sql_is_refused(raw: Engine, registry: Registry, statement: str, reason: str) -> None:
    before = registry.versions("sentiment"), registry.history("sentiment")
    with pytest.raises(Refused, match=reason), raw.begin() as connection:
        connection.execute(text(statement))
    assert (registry.versions("sentiment"), registry.history("sentiment")) == before


@pytest.mark.usefixtures("history")
def test_no_row_is_replaced_or_truncated(raw: Engine, registry: Registry) -> None:
    if raw.dialect.name == "sqlite":
        columns = "prompt_id, number, state, digest, size, card, idempotency_key, created_by, created_at, message"
        insert = f"INSERT OR REPLACE INTO prompt_version ({columns}) SELECT"
        renumbered = columns.replace("number", "number + 7", 1)
        rekeyed = columns.replace("idempotency_key", "'new'")
        statements = [
            "INSERT OR REPLACE INTO alias_event SELECT * FROM alias_event",
            "INSERT OR REPLACE INTO prompt_version SELECT * FROM prompt_version",
            f"{insert} {renumbered} FROM prompt_version WHERE number = 2",
            f"{insert} {rekeyed} FROM prompt_version WHERE number = 2",
        ]
    else:
        statements = [f"TRUNCATE {table} CASCADE" for table in ("alias_event", "prompt_version", "prompt")]
    for statement in statements:
        with pytest.raises(Refused, match=r"immutable|append-only"), raw.begin() as connection:
            connection.execute(text(statement))
    assert registry.verify_history() == 3


@pytest.mark.usefixtures("history")
def test_a_pending_version_may_still_change(raw: Engine, registry: Registry) -> None:
    columns = "prompt_id, digest, size, card, created_by, created_at, message"
    with raw.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO prompt_version (number, state, idempotency_key, {columns}) "
                f"SELECT 3, 'PENDING', 'k', {columns} FROM prompt_version WHERE number = 1"
            )
        )
        connection.execute(text("UPDATE prompt_version SET size = 9 WHERE number = 3"))
    assert [version.size for version in registry.versions("sentiment")] == [9, 32, 32]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE alias_event SET actor = 'eve' WHERE id = 2", "broken at event 2"),
        ("UPDATE alias_event SET previous = '' WHERE id = 3", "broken at event 3"),
        ("DELETE FROM alias_event WHERE id = 2", "broken at event 3"),
        ("DELETE FROM alias_event WHERE id = 3", "cut off after 2 events"),
    ],
)
def test_the_chain_shows_what_was_changed_behind_the_triggers(
    raw: Engine, registry: Registry, damage: str, found: str
) -> None:
    assert registry.verify_history() == 3
    postgresql = raw.dialect.name == "postgresql"
    with raw.begin() as connection:
        if postgresql:
            connection.execute(text("ALTER TABLE alias_event DISABLE TRIGGER ALL"))
        else:
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER alias_event_frozen_{action}"))
        connection.execute(text(damage))
    with pytest.raises(IntegrityError, match=found):
        registry.verify_history()
