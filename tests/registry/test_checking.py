"""What is damaged is found and never handed out."""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from registry import IntegrityError, Move, Registry, Unavailable
from registry.database import connect
from registry.keeping.keeper import Keeper
from registry.store import key_of

ADA: dict[str, Any] = {"actor": "ada"}


def test_a_whole_registry_is_counted(registry: Registry, keeper: Keeper, publish: Any) -> None:
    for blob in (b"12345", b"12345", b"678", b"9"):
        publish(blob=blob)
    registry.promote([Move("sentiment:1")], **ADA)
    registry.retire(["sentiment:3"], "archive", **ADA)
    registry.retire(["sentiment:4"], "delete", **ADA)
    health = keeper.check()
    assert (health.versions, health.blobs, health.bytes, health.events) == (3, 2, 8, 3)
    assert (health.unneeded, health.unknown, health.leftovers, health.problems) == (1, 0, 0, ())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda blob: blob[:-1], "it is damaged"),
        (lambda blob: bytes([blob[0] ^ 1]) + blob[1:], "it is damaged"),
        (lambda blob: b"", "it is damaged"),
        (lambda blob: None, "has no blob"),
    ],
    ids=["truncated", "flipped", "emptied", "gone"],
)
def test_a_damaged_blob_is_found_and_never_handed_out(
    registry: Registry, keeper: Keeper, publish: Any, store: str, damage: Any, said: str
) -> None:
    version = publish(blob=b"whole" * 1000)
    publish(blob=b"other")
    path = Path(store) / key_of(version.digest)
    damaged = damage(path.read_bytes())
    path.unlink() if damaged is None else path.write_bytes(damaged)
    (problem,) = keeper.check().problems
    assert problem.startswith("sentiment:1: ")
    assert said in problem
    with pytest.raises(IntegrityError, match=said):
        registry.fetch(version)
    publish(blob=b"whole" * 1000)
    assert keeper.check().problems == (), "the same bytes, published again, heal it"


def test_what_the_database_says_is_compared_as_well(
    registry: Registry, keeper: Keeper, database: str, publish: Any
) -> None:
    version = publish(blob=b"one")
    engine = connect(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE blob SET state = 'DELETING'"))
    assert keeper.check().problems == (f"sentiment:1: the database says that its blob {version.digest} is DELETING",)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM blob"))
    assert [problem.rpartition(" ")[2] for problem in keeper.check().problems] == ["gone"]
    engine.dispose()


def test_a_disk_that_is_full_half_way_leaves_nothing_to_serve_and_nothing_behind(
    registry: Registry, keeper: Keeper, publish: Any, store: str
) -> None:
    """The process may write no file of more than 64 KiB for the time of one publish."""
    publish(blob=b"small")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = os.listdir(store)
    blob = b"x" * 300_000
    folder = Path(store) / key_of("sha256:" + "0" * 64)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(Unavailable, match="File too large"):
            publish(blob=blob, idempotency_key="k")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (os.listdir(store), folder.exists()) == (before, False)
    health = keeper.check()
    assert (health.versions, health.pending, health.leftovers, health.problems) == (1, 1, 0, ())
    assert publish(blob=blob, idempotency_key="k").state == "READY"


def test_a_store_that_keeps_less_than_it_was_given_makes_no_version(
    registry: Registry, publish: Any, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """A disk that lies: it says yes, and has half."""
    replace = os.replace

    def lose_half(source: Path, target: Path) -> None:
        os.truncate(source, Path(source).stat().st_size // 2)
        replace(source, target)

    monkeypatch.setattr(os, "replace", lose_half)
    with pytest.raises(IntegrityError, match="it is damaged"):
        publish(blob=b"whole")
    assert [version.state for version in registry.versions("sentiment")] == ["PENDING"]


def test_a_large_blob_is_checked_exported_and_imported_piece_by_piece(
    tmp_path: Path, work: Callable[..., list[str]]
) -> None:
    """96 MiB, and no process grows by more than a few pieces of 4 MiB."""
    grown = dict(line.split() for line in work("memory", tmp_path, 96, of="keepers.py"))
    assert set(grown) == {"check", "pack", "unpack"}
    assert max(map(int, grown.values())) < 32
