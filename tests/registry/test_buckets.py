"""The registry on S3: a server process that speaks it, and the client that everybody uses."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from registry import IntegrityError, Invalid, Registry, Unavailable
from registry.canonical import digest_of
from registry.keeping.keeper import Keeper
from registry.store import key_of, open_store

ADA: dict[str, Any] = {"actor": "ada"}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
PARTS = 40 << 20  # bytes; more than two parts


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where the server answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(600):
            with socket.socket() as ask:
                if ask.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket of its own, for this process and those that it starts."""
    from s3fs import S3FileSystem

    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    name = uuid4().hex
    S3FileSystem().mkdir(name)
    yield f"s3://{name}/prompts"
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def places(bucket: str, tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path}/registry.db", bucket


def test_a_registry_lives_on_s3(places: tuple[str, str], tmp_path: Path) -> None:
    with closing(Registry.open(*places)) as registry, closing(Keeper.open(*places)) as keeper:
        for number in range(3):
            registry.publish("a", b"%d" % number, {}, idempotency_key=str(number), **ADA)
        assert registry.fetch(registry.resolve("a:2")) == b"1"
        registry.retire(["a:1"], "delete", **ADA)
        (planned,) = keeper.collect(timedelta(0), dry_run=True)
        assert keeper.collect(timedelta(0)) == [planned]
        health = keeper.check()
        assert (health.versions, health.blobs, health.unknown, health.leftovers, health.problems) == (2, 2, 0, 0, ())
        assert len(set(keeper.store.digests())) == 2
        keeper.pack(tmp_path / "all.tar")
    folder = f"sqlite:///{tmp_path}/other/registry.db", str(tmp_path / "other" / "store")
    with closing(Keeper.open(*folder)) as keeper:
        assert keeper.unpack(tmp_path / "all.tar").blobs == 2
        assert keeper.check().problems == ()


def test_damage_on_s3_is_found_and_not_handed_out(places: tuple[str, str]) -> None:
    with closing(Registry.open(*places)) as registry, closing(Keeper.open(*places)) as keeper:
        for number in range(3):
            registry.publish("a", b"blob %d" % number, {}, idempotency_key=str(number), **ADA)
        digests = [registry.resolve(f"a:{number}").digest for number in (1, 2)]
        keeper.store.files.write(key_of(digests[0]), b"blob")
        keeper.store.files.remove(key_of(digests[1]))
        assert [problem[:4] for problem in sorted(keeper.check().problems)] == ["a:1:", "a:2:"]
        for digest, said in zip(digests, ("it is damaged", "has no blob"), strict=True):
            with pytest.raises(IntegrityError, match=said):
                registry.fetch_digest(digest)


def test_large_blobs_go_in_parts_and_an_upload_that_ends_early_makes_no_object(bucket: str) -> None:
    store = open_store(bucket)
    blob = os.urandom(1 << 20) * (PARTS >> 20)
    digest = digest_of(blob)
    store.put_chunks(digest, (blob[at : at + (1 << 20)] for at in range(0, PARTS, 1 << 20)))
    assert store.verify(digest) == PARTS
    assert store.get(digest) == blob

    def ends_early() -> Iterator[bytes]:
        yield blob[: PARTS - 1]
        raise OSError(5, "Input/output error")

    other = digest_of(b"another")
    with pytest.raises(Unavailable, match="Input/output error"):
        store.put_chunks(other, ends_early())
    assert list(store.digests()) == [digest]
    assert store.leftovers() == []


def test_an_upload_that_was_killed_is_found_and_taken_back(places: tuple[str, str]) -> None:
    program = f"""
import os
from registry.canonical import digest_of
from registry.store import open_store

def pieces():
    for number in range({PARTS} >> 20):
        yield bytes(1 << 20)
    os._exit(9)

open_store({places[1]!r}).put_chunks(digest_of(b"never"), pieces())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 9
    with closing(Keeper.open(*places)) as keeper:
        assert list(keeper.store.digests()) == []
        (left,) = keeper.store.leftovers()
        assert left.name.startswith(key_of(digest_of(b"never")))
        assert keeper.check().leftovers == 1
        keeper.store.clear(left)
        assert keeper.check().leftovers == 0


def test_the_command_line_keeps_a_registry_on_s3(places: tuple[str, str], tmp_path: Path) -> None:
    with closing(Registry.open(*places)) as registry:
        version = registry.publish("a", b"blob", {}, idempotency_key="k", **ADA)
    settings = {"PROMPTCTL_DATABASE_URL": places[0], "PROMPTCTL_STORE_URL": places[1], "PROMPTCTL_HOME": str(tmp_path)}
    environment = os.environ | settings | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "orchestrator.cli.main", "fsck", "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["fsck"]["blobs"]) == (0, 1)
    open_store(places[1]).files.write(key_of(version.digest), b"bl0b")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert json.loads(done.stderr)["error"]["code"] == "integrity"


def test_a_server_that_is_down_and_a_bucket_that_is_not_there_are_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    with pytest.raises(Unavailable, match=r"the store at s3://no-such-bucket/x failed on sha256:.*: FileNotFoundError"):
        open_store("s3://no-such-bucket/x").put(digest_of(b""), b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(Unavailable, match=r"failed on sha256:.*: EndpointConnectionError"):
        open_store(bucket).get(digest_of(b""))


def test_s3_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(Invalid) as caught:
        open_store("s3://bucket/prompts")
    assert caught.value.hint == "pip install 'promptctl[s3]'"
