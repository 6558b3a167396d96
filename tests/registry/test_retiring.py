"""Versions that are put away, brought back, and deleted."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError as Refused

from registry import Conflict, IntegrityError, Move, NotFound, Registry
from registry.database import connect
from registry.keeping.keeper import Keeper

ADA: dict[str, Any] = {"actor": "ada"}


def states(registry: Registry) -> list[str]:
    return [version.state for version in registry.versions("sentiment", retired=True)[::-1]]


def test_an_archived_version_is_not_listed_nor_promoted_and_comes_back(registry: Registry, publish: Any) -> None:
    first, second = publish(), publish()
    (archived,) = registry.retire(["sentiment:1"], "archive", reason="old labels", **ADA)
    assert (archived.reference, archived.state, archived.digest) == ("sentiment:1", "ARCHIVED", first.digest)
    assert registry.versions("sentiment") == [second]
    assert registry.versions("sentiment", retired=True) == [second, archived]
    assert registry.fetch(registry.resolve("sentiment:1"))
    for move in (Move("sentiment:1"), Move(f"sentiment@{first.digest}", "staging")):
        with pytest.raises(Conflict, match="sentiment:1 is archived: no alias can name it") as caught:
            registry.promote([move], **ADA)
    assert "promptctl prompt restore sentiment:1" in caught.value.hint
    assert registry.retire(["sentiment:1"], "archive", **ADA) == [archived], "again changes nothing"
    assert registry.retire(["sentiment:1"], "restore", **ADA) == [first]
    registry.promote([Move("sentiment:1")], **ADA)


def test_what_an_alias_names_or_tries_can_be_neither_archived_nor_deleted(registry: Registry, publish: Any) -> None:
    for _ in range(4):
        publish()
    registry.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], **ADA)
    registry.promote([Move("sentiment:2", percent=10)], **ADA)
    registry.promote([Move("sentiment:3", "staging", shadow=True)], **ADA)
    for number, named in (("1", "sentiment@production and sentiment@staging"), ("2", "sentiment@production")):
        for action in ("archive", "delete"):
            with pytest.raises(Conflict, match=f"cannot {action} sentiment:{number}: {named} answers with it"):
                registry.retire([f"sentiment:{number}"], action, **ADA)
    with pytest.raises(Conflict, match="sentiment:3"):
        registry.retire(["sentiment:4", "sentiment:3"], "archive", **ADA)
    assert states(registry) == ["READY"] * 4, "all or none"


def test_an_archived_version_cannot_become_a_candidate_or_come_back_by_rollback(
    registry: Registry, publish: Any
) -> None:
    for number in (1, 2):
        publish()
        registry.promote([Move(f"sentiment:{number}")], **ADA)
    registry.retire(["sentiment:1"], "archive", **ADA)
    with pytest.raises(Conflict, match="sentiment:1 is archived"):
        registry.promote([Move("sentiment:1", percent=10)], **ADA)
    with pytest.raises(Conflict, match="sentiment:1 is archived"):
        registry.rollback("sentiment", **ADA)
    registry.retire(["sentiment:1"], "delete", **ADA)
    with pytest.raises(Conflict, match="sentiment:1 is deleted"):
        registry.rollback("sentiment", **ADA)
    assert registry.resolve("sentiment").number == 2


def test_a_deleted_version_leaves_its_row_and_its_number(registry: Registry, publish: Any) -> None:
    first = publish(blob=b"1", idempotency_key="k")
    registry.retire(["sentiment:1"], "delete", **ADA)
    for reference in ("sentiment:1", f"sentiment@{first.digest}"):
        with pytest.raises(NotFound):
            registry.resolve(reference)
    with pytest.raises(NotFound, match="sentiment:1 was deleted"):
        registry.retire(["sentiment:1"], "restore", **ADA)
    with pytest.raises(Conflict, match="stood for sentiment:1, which was deleted"):
        publish(blob=b"1", idempotency_key="k")
    assert publish(blob=b"1").number == 2
    assert states(registry) == ["DELETED", "READY"]


def test_the_newest_version_that_was_taken_away_is_not_gone_on_from(registry: Registry, publish: Any) -> None:
    publish()
    publish()
    registry.retire(["sentiment:2"], "archive", **ADA)
    with pytest.raises(Conflict, match="sentiment:2, which this version was begun from, was taken away"):
        publish(after=2)
    assert publish(after=1).number == 3


def test_a_dry_run_retires_nothing(registry: Registry, publish: Any, keeper: Keeper) -> None:
    publish()
    (planned,) = registry.retire(["sentiment:1"], "delete", dry_run=True, **ADA)
    assert planned.state == "DELETED"
    assert states(registry) == ["READY"]
    assert keeper.check().events == 0


REFUSED = [
    "UPDATE prompt_version SET state = 'ARCHIVED', digest = 'sha256:0' WHERE number = 1",
    "UPDATE prompt_version SET state = 'ARCHIVED', card = '{}' WHERE number = 1",
    "UPDATE prompt_version SET state = 'ARCHIVED', run_id = 'r' WHERE number = 1",
    "UPDATE prompt_version SET state = 'PENDING' WHERE number = 2",
    "UPDATE prompt_version SET state = 'FAILED' WHERE number = 1",
    "UPDATE prompt_version SET state = 'READY' WHERE number = 3",
    "UPDATE prompt_version SET state = 'ARCHIVED' WHERE number = 3",
    "UPDATE prompt_version SET message = 'other' WHERE number = 2",
    "DELETE FROM prompt_version WHERE number = 3",
    "UPDATE version_event SET actor = 'eve'",
    "DELETE FROM version_event",
]


def test_the_database_lets_these_steps_through_and_nothing_else(
    database: str, registry: Registry, publish: Any
) -> None:
    registry.start_run("r", {}, **ADA)
    for _ in range(3):
        publish()
    registry.retire(["sentiment:2"], "archive", **ADA)
    registry.retire(["sentiment:3"], "delete", **ADA)
    engine = connect(database)
    for statement in REFUSED:
        with pytest.raises(Refused, match=r"immutable|append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    with engine.begin() as connection:
        connection.execute(text("UPDATE prompt_version SET state = 'ARCHIVED' WHERE number = 1"))
    engine.dispose()
    assert states(registry) == ["ARCHIVED", "ARCHIVED", "DELETED"]


def test_a_state_that_no_event_tells_and_an_event_that_was_edited_are_found(
    database: str, registry: Registry, publish: Any, keeper: Keeper
) -> None:
    for _ in range(2):
        publish()
    registry.retire(["sentiment:1"], "archive", **ADA)
    assert keeper.check().problems == ()
    engine = connect(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE prompt_version SET state = 'ARCHIVED' WHERE number = 2"))
    assert keeper.check().problems == ("sentiment:2 is ARCHIVED, and its history does not say so",)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE version_event DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER version_event_frozen_update"))
        connection.execute(text("UPDATE version_event SET actor = 'eve'"))
    engine.dispose()
    assert keeper.check().problems == ("the history is broken at version event 1 (sentiment:1)",)
    with pytest.raises(IntegrityError):
        registry.fetch_digest(f"sha256:{'0' * 64}")


def test_a_promotion_and_an_archiving_at_once_have_one_winner(
    database: str, store: str, registry: Registry, publish: Any, work: Callable[..., list[str]]
) -> None:
    versions = 12
    for _ in range(versions):
        publish("race")
    won = [line.split() for line in work("race", database, store, versions, of="keepers.py")]
    assert sorted(int(number) for number, _ in won) == list(range(1, versions + 1))
    promoted = {int(number) for number, how in won if how == "promoted"}
    named = registry.prompts()[0].aliases
    assert dict(named) == {f"line-{number}": number for number in promoted}
    archived = {version.number for version in registry.versions("race", retired=True) if version.state == "ARCHIVED"}
    assert archived == set(range(1, versions + 1)) - promoted
