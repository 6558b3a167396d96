"""Garbage is collected beside publishers, and never what a version needs."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from registry import IntegrityError, NotFound, Registry, Unavailable
from registry.database import connect
from registry.keeping.collecting import Removed
from registry.keeping.keeper import Keeper
from registry.store import Store, key_of

Work = Callable[..., list[str]]
NOW = timedelta(0)
ADA: dict[str, Any] = {"actor": "ada"}


def files(store: str) -> list[Path]:
    return sorted(path for path in Path(store).rglob("*") if path.is_file())


def long_ago(database: str, what: str = "blob SET touched_at", where: str = "TRUE") -> None:
    """Have it been two days ago."""
    engine = connect(database)
    with engine.begin() as connection:
        then = datetime.now(UTC) - timedelta(days=2)
        at = then if engine.dialect.name == "postgresql" else then.strftime("%Y-%m-%d %H:%M:%S.%f")
        connection.execute(text(f"UPDATE {what} = :at WHERE {where}"), {"at": at})
    engine.dispose()


def test_bytes_go_when_the_last_version_that_needs_them_is_deleted_and_the_grace_is_over(
    registry: Registry, keeper: Keeper, publish: Any, database: str, store: str
) -> None:
    one, two, other = publish(blob=b"same"), publish("topic", blob=b"same"), publish(blob=b"other")
    registry.retire(["sentiment:1"], "delete", **ADA)
    registry.retire([other.reference], "archive", **ADA)
    assert keeper.collect(NOW) == [], "one is needed, the other is only archived"
    registry.retire(["topic:1"], "delete", **ADA)
    assert keeper.collect() == [], "a reader may be about to fetch it"
    long_ago(database)
    expected = [Removed("blob", one.digest, 4)]
    assert keeper.collect(dry_run=True) == expected
    assert len(files(store)) == 2
    assert keeper.check().unneeded == 1
    assert keeper.collect() == expected
    assert keeper.collect() == []
    assert files(store) == [Path(store) / key_of(other.digest)]
    with pytest.raises(IntegrityError, match="has no blob"):
        registry.fetch(two)
    assert publish(blob=b"same").state == "READY"
    assert keeper.check().problems == ()


def test_a_version_that_nobody_goes_on_publishing_is_given_up_and_comes_back_with_its_run(
    registry: Registry, keeper: Keeper, publish: Any, database: str, store: str
) -> None:
    publish(blob=b"whole")
    folder, aside = Path(store), Path(f"{store}-aside")
    folder.rename(aside)
    folder.write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        publish(blob=b"half", idempotency_key="k")
    folder.unlink()
    aside.rename(folder)
    assert keeper.collect(NOW) == [], "a publisher has at least an hour, whatever the grace"
    long_ago(database)
    long_ago(database, "prompt_version SET created_at", "state = 'PENDING'")
    assert keeper.check().pending == 1
    assert keeper.collect()[0] == Removed("version", "sentiment:2", 0)
    health = keeper.check()
    assert (health.pending, health.given_up, health.problems) == (0, 1, ())
    with pytest.raises(NotFound, match="sentiment:2 is not ready: publishing it has not finished, and it was given up"):
        registry.resolve("sentiment:2")
    assert [version.number for version in registry.versions("sentiment")] == [1]
    again = publish(blob=b"half", idempotency_key="k")
    assert (again.number, again.state) == (2, "READY")


def test_what_a_killed_write_left_is_counted_and_goes_after_a_day(keeper: Keeper, publish: Any, store: str) -> None:
    version = publish()
    left = (Path(store) / key_of(version.digest)).with_name(".tmp-0123")
    left.write_bytes(b"half")
    assert keeper.check().leftovers == 1
    assert keeper.collect(NOW) == []
    os.utime(left, (0, time.time() - 100_000))
    expected = [Removed("leftover", str(left.relative_to(store)), 4)]
    assert keeper.collect(dry_run=True) == expected
    assert keeper.collect() == expected
    assert (keeper.check().leftovers, left.exists()) == (0, False)


def test_what_only_another_registry_knows_stays(keeper: Keeper, store: str, publish: Any) -> None:
    publish()
    theirs = Path(store) / key_of(f"sha256:{'ab' * 32}")
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    assert keeper.check().unknown == 1
    assert keeper.collect(NOW) == []
    assert theirs.exists()


def test_a_collector_that_died_is_finished_by_the_next_or_by_who_publishes_the_same_bytes(
    registry: Registry, keeper: Keeper, publish: Any, database: str
) -> None:
    for name, blob in (("a", b"1"), ("b", b"2")):
        publish(name, blob=blob)
        registry.retire([f"{name}:1"], "delete", **ADA)
    engine = connect(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE blob SET state = 'DELETING'"))
    engine.dispose()
    again = publish("a", blob=b"1")
    assert registry.fetch(again) == b"1"
    assert [one.size for one in keeper.collect()] == [1]
    assert keeper.check().problems == ()
    assert keeper.check().unneeded == 0


def test_more_garbage_than_is_taken_at_once_goes_and_the_dry_run_says_all_of_it(
    registry: Registry, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.keeping.collecting.AT_ONCE", 3)
    for number in range(10):
        registry.publish("a", b"%d" % number, {}, idempotency_key=str(number), **ADA)
    registry.retire([f"a:{number}" for number in range(1, 10)], "delete", **ADA)
    planned = keeper.collect(NOW, dry_run=True)
    assert len(planned) == 9
    assert keeper.collect(NOW) == planned
    assert keeper.check().blobs == 1


def test_collectors_beside_publishers_of_the_same_bytes_break_nothing(
    database: str, store: str, keeper: Keeper, registry: Registry, work: Work
) -> None:
    collected = max(map(int, work("collect_beside", database, store, 3, 10, of="keepers.py")))
    assert collected >= 10
    health = keeper.check()
    assert (health.problems, health.pending) == ((), 0)
    left = registry.versions("race")
    assert len(left) == 3
    assert all(registry.fetch(version).startswith(b"blob ") for version in left)


@pytest.mark.parametrize(
    "meanwhile",
    [
        ["UPDATE blob SET state = 'DELETING'"],
        ["UPDATE prompt_version SET state = 'FAILED'"],
        ["UPDATE prompt_version SET state = 'FAILED'", "DELETE FROM blob"],
    ],
    ids=["marked", "given up", "collected"],
)
def test_a_publisher_whose_bytes_were_collected_before_it_was_done_begins_again(
    registry: Registry, keeper: Keeper, database: str, store: str, monkeypatch: pytest.MonkeyPatch, meanwhile: list[str]
) -> None:
    """It has stored and verified them, and then slept while a collector came by."""
    verify, slept = Store.verify, list[str]()

    def sleepy(there: Store, digest: str) -> int:
        size = verify(there, digest)
        if not slept:
            slept.append(digest)
            engine = connect(database)
            with engine.begin() as connection:
                for statement in meanwhile:
                    connection.execute(text(statement))
            engine.dispose()
            there.remove(digest)
        return size

    monkeypatch.setattr(Store, "verify", sleepy)
    version = registry.publish("a", b"blob", {}, idempotency_key="k", **ADA)
    assert (version.number, version.state, slept) == (1, "READY", [version.digest])
    assert registry.fetch(version) == b"blob"
    assert keeper.check().problems == ()
    assert Path(store, key_of(version.digest)).exists()
