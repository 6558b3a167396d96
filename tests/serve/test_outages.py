"""What the server stands on fails while it is asked: over HTTP, under load, and nothing but its status shows it."""

import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from methods import Artifact
from registry import Move, Registry, Version
from serve.config import ServeConfig

from .conftest import SENTIMENT, TOPIC, Publish
from .live import live

ROWS = [{"prompt": name, "text": "the film was very good"} for name in ("sentiment", "topic")]
WITHIN_S = 5.0


@contextmanager
def asked(url: str) -> Iterator[Counter[str]]:
    """Three callers ask both prompts again and again; which versions answered. Every request has to be answered."""
    seen: Counter[str] = Counter()
    failed: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not over.is_set():
                response = http.post(f"{url}/v1/predict", json={"inputs": ROWS})
                if response.status_code == 200:
                    seen.update(one["version"] for one in response.json()["outputs"])
                else:
                    failed.append(response.status_code)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert failed == []


def more(seen: Counter[str]) -> None:
    """Wait until more was answered than was on its way."""
    before = seen.total()
    until(lambda: seen.total() > before + 2 * 3 * len(ROWS))


def until(true: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not true():
        assert time.monotonic() < started + WITHIN_S
        time.sleep(0.01)


def status(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/v1/status", trust_env=False).json()


def blob(config: ServeConfig, version: Version) -> Path:
    digits = version.digest.removeprefix("sha256:")
    (found,) = [path for path in Path(config.store_url).rglob(f"*{digits}*") if path.is_file()]
    return found


@contextmanager
def gone(place: Path) -> Iterator[None]:
    """A file or folder is elsewhere for the time of the block."""
    elsewhere = place.rename(place.with_name(f"{place.name}-elsewhere"))
    try:
        yield
    finally:
        elsewhere.rename(place)


@contextmanager
def without_table(database: Path, table: str) -> Iterator[None]:
    """A table has another name for the time of the block, for connections too that are open already."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The address of an MLflow that is down, where it would be noticed if somebody came."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listening.getsockname()[1]}")
        listening.settimeout(0)
        yield listening


@pytest.fixture
def url(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    mlflow: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A server of the first versions of two prompts, of which there are two each."""
    monkeypatch.setattr("serve.routing.follower.RETRY_S", 0.1)
    for task in (SENTIMENT, TOPIC):
        for seed in (1, 2):
            publish(task.name, make(task, seed))
    registry.promote([Move("sentiment:1"), Move("topic:1")], actor="ada")
    with live(config) as address:
        yield f"http://{address}"


def test_answers_go_on_while_the_registry_is_down(url: str, config: ServeConfig, registry: Registry) -> None:
    with asked(url) as seen:
        with without_table(Path(config.store_url).parent / "registry.db", "serving"):
            until(lambda: status(url)["stale_since"] is not None)
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
            more(seen)
        registry.promote([Move("sentiment:2")], actor="ada")
        until(lambda: seen["sentiment:2"] > 0)
        assert status(url)["stale_since"] is None
    assert seen.keys() == {"sentiment:1", "sentiment:2", "topic:1"}


def test_answers_go_on_while_the_store_is_down_and_what_was_missed_is_brought_after(
    url: str, config: ServeConfig, registry: Registry
) -> None:
    with asked(url) as seen:
        with gone(Path(config.store_url)):
            registry.promote([Move("sentiment:2")], actor="ada")
            until(lambda: status(url)["refused"] != [])
            (refused,) = status(url)["refused"]
            assert (refused["version"], refused["serving"]) == ("sentiment:2", "sentiment:1")
            more(seen)
            assert seen["sentiment:2"] == 0
        until(lambda: seen["sentiment:2"] > 0)
        assert status(url)["refused"] == []


def test_a_poisoned_version_is_refused_while_what_was_promoted_beside_it_answers(
    url: str, config: ServeConfig, registry: Registry
) -> None:
    poisoned = blob(config, registry.resolve("sentiment:2"))
    poisoned.chmod(0o600)
    poisoned.write_bytes(poisoned.read_bytes()[:-1] + b"\x7f")
    with asked(url) as seen:
        registry.promote([Move("sentiment:2"), Move("topic:2")], actor="ada")
        until(lambda: seen["topic:2"] > 0)
        more(seen)
        (refused,) = status(url)["refused"]
        assert refused["version"] == "sentiment:2"
        assert "is damaged" in refused["reason"]
    assert seen.keys() == {"sentiment:1", "topic:1", "topic:2"}


@pytest.mark.parametrize("hours", [-1, 25])
def test_a_clock_that_jumps_holds_nothing_up(
    url: str, registry: Registry, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    right = time.time
    with asked(url) as seen:
        more(seen)
        monkeypatch.setattr(time, "time", lambda: right() + 3600 * hours)
        more(seen)
        registry.promote([Move("sentiment:2")], actor="ada")
        until(lambda: seen["sentiment:2"] > 0)
        said = httpx.post(f"{url}/v1/feedback", json=ROWS[0] | {"label": "negative"}, trust_env=False)
        assert said.status_code == 200
        more(seen)


def test_serving_never_asks_mlflow(url: str, registry: Registry, mlflow: socket.socket) -> None:
    with asked(url) as seen:
        registry.promote([Move("sentiment:2")], actor="ada")
        until(lambda: seen["sentiment:2"] > 0)
    with pytest.raises(BlockingIOError):
        mlflow.accept()
