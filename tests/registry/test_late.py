"""A registry that does not answer yet, and blobs that outlast their store."""

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from registry import IntegrityError, Registry, Unavailable, upgrade


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def blob_of(folder: Path, digest: str) -> Path:
    digits = digest.removeprefix("sha256:")
    return folder / "blobs" / "sha256" / digits[:2] / digits


def test_a_late_registry_answers_once_its_database_is_there(empty_database: str, store: str) -> None:
    late = Registry.open(empty_database, store, late=True)
    for _ in range(2):
        with pytest.raises(Unavailable, match="is not there, or is empty"):
            late.epoch()
    upgrade(empty_database)
    assert late.epoch() == 0
    assert late.publish("sentiment", b"soft", {}, idempotency_key="k", actor="ada").number == 1
    late.close()


def test_a_late_registry_makes_no_database(tmp_path: Path, store: str) -> None:
    late = Registry.open(f"sqlite:///{tmp_path}/none.db", store, late=True)
    with pytest.raises(Unavailable):
        late.epoch()
    assert list(tmp_path.iterdir()) == []


def test_what_was_fetched_once_is_there_when_the_store_is_not(database: str, store: str, cache: Path) -> None:
    opened = Registry.open(database, store, cache=cache)
    one, other = (opened.publish("p", blob, {}, idempotency_key=str(blob), actor="ada") for blob in (b"one", b"other"))
    assert not cache.exists(), "publishing reads back what the store has"
    opened.fetch(one)
    shutil.rmtree(store)
    assert opened.fetch(one) == b"one"
    with pytest.raises(IntegrityError, match="has no blob"):
        opened.fetch(other)
    kept = blob_of(cache, one.digest)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_bytes(b"two")
    with pytest.raises(IntegrityError, match="has no blob"):
        opened.fetch(one)
    opened.close()


def test_a_damaged_copy_is_fetched_again(database: str, store: str, cache: Path) -> None:
    opened = Registry.open(database, store, cache=cache)
    version = opened.publish("p", b"one", {}, idempotency_key="k", actor="ada")
    opened.fetch(version)
    kept = blob_of(cache, version.digest)
    kept.write_bytes(b"two")
    assert opened.fetch(version) == b"one"
    assert kept.read_bytes() == b"one"
    opened.close()


def test_the_cache_keeps_what_it_is_told_and_no_more(database: str, store: str, cache: Path) -> None:
    opened = Registry.open(database, store, cache=cache)
    one, other = (opened.publish("p", blob, {}, idempotency_key=str(blob), actor="ada") for blob in (b"one", b"other"))
    opened.fetch(one)
    opened.fetch(other)
    blob_of(cache, one.digest).unlink()
    assert not opened.keep([one.digest, f"sha256:{'0' * 64}"])
    assert opened.keep([one.digest])
    opened.keep_only([one.digest])
    assert blob_of(cache, other.digest).exists()  # it is young
    hours_ago = time.time() - 2 * 3600
    os.utime(blob_of(cache, other.digest), (hours_ago, hours_ago))
    opened.keep_only([one.digest])
    assert blob_of(cache, one.digest).read_bytes() == b"one"
    assert not blob_of(cache, other.digest).exists()
    opened.close()
