"""Blobs at their content address, locally and through fsspec."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from registry import Invalid
from registry.canonical import digest_of
from registry.guard import write_open
from registry.store import masked, open_store

DIGEST = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"


@pytest.mark.parametrize("kind", ["path", "file", "memory"])
def test_a_blob_comes_back_from_its_digest(kind: str, tmp_path: Path) -> None:
    urls = {"path": str(tmp_path / "s"), "file": f"file://{tmp_path}/s", "memory": f"memory://{uuid4().hex}"}
    store = open_store(urls[kind])
    assert digest_of(b"hello") == DIGEST
    for _ in range(2):
        store.put(DIGEST, b"hello")
        assert store.get(DIGEST) == b"hello"
    if kind != "memory":
        digits = DIGEST.removeprefix("sha256:")
        assert (tmp_path / "s/blobs/sha256/2c" / digits).read_bytes() == b"hello"


def test_a_write_that_fails_leaves_the_old_blob_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    store.put(DIGEST, b"hello")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConnectionError, match="No space left"):
        store.put(DIGEST, b"hel")
    assert store.get(DIGEST) == b"hello"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("digest", ["", "2cf24dba", "sha256:2cf24dba", "sha256:../" + "a" * 61, "md5:" + "a" * 64])
def test_only_a_whole_digest_is_an_address(digest: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is not a digest"):
        open_store(str(tmp_path)).get(digest)


def test_a_store_nobody_knows_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot open the store unheard://of"):
        open_store("unheard://of")


def test_the_store_is_out_of_reach_inside_a_write_transaction(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with write_open():
        with pytest.raises(RuntimeError, match="storing a blob inside a write transaction"):
            store.put(DIGEST, b"hello")
        with pytest.raises(RuntimeError, match="reading a blob inside a write transaction"):
            store.get(DIGEST)
    store.put(DIGEST, b"hello")


def test_an_address_is_shown_without_its_password() -> None:
    assert masked("s3://bob:hunter2@host/prompts") == "s3://***@host/prompts"
    assert masked("s3://bucket/a@b") == "s3://bucket/a@b"
    assert masked("/data/store") == "/data/store"
