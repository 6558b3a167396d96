"""Two replicas on one Ray cluster, which every test of this file uses: promoted, killed and replaced under load."""

import asyncio
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from methods import Artifact
from orchestrator.cluster import started
from registry import Move, Registry
from serve.client import Client
from serve.config import ServeConfig
from serve.feedback import actor as feedback_actor
from serve.replicas import alpha, app
from serve.replicas.replica import APP
from serve.replicas.scale import Scale

from .conftest import SENTIMENT
from .servers import GOOD, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),  # Ray Serve's own
]
TWO = Scale(2, 2)
CANARY = "zebrafinch-7720"


@dataclass
class Load:
    """Clients that ask again and again while the block runs, and what came of it."""

    url: str
    retries: int
    clients: int = 4
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        with Client(self.url, retries=self.retries) as client:
            client._http.event_hooks = {
                "request": [lambda _: self.counts.update(sent=1)]
            }  # the public face counts none
            while not self._stop.is_set():
                self.counts["asked"] += 1
                try:
                    assert client.predict([GOOD])[0]["version"].startswith("sentiment:")
                except Exception as error:  # noqa: BLE001 - each is counted
                    self.failures.append(repr(error))


@dataclass(frozen=True)
class Cluster:
    home: Path
    config: ServeConfig
    registry: Registry

    def promote(self, number: int) -> int:
        self.registry.promote([Move(f"sentiment:{number}")], actor="ada")
        return self.registry.epoch()

    def epochs(self) -> list[int]:
        return httpx.post(f"{self.config.url}/v1/sync", timeout=30).json()["epochs"]

    def wait_for_two(self) -> None:
        deadline = time.monotonic() + 60
        while len(self.epochs()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tiny_folder: Path, make: Callable[..., Artifact]) -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="pc", dir="/tmp"))  # the paths of Ray's sockets have to be short
    config = ServeConfig(f"sqlite:///{home}/registry.db", f"{home}/store", str(tiny_folder), "127.0.0.1", free_port())
    with closing(Registry.open(config.database_url, config.store_url)) as registry:
        for seed in (1, 2):
            artifact = make(SENTIMENT, seed)
            blob, card = artifact.to_bytes(), artifact.card.to_json()
            registry.publish("sentiment", blob, card, idempotency_key=str(seed), actor="ada")
        registry.promote([Move("sentiment:1")], actor="ada")
        with started(home, 2):
            app.deploy(config, TWO)
            yield Cluster(home, config, registry)
            feedback_actor.close()
    shutil.rmtree(home)


def test_every_replica_has_followed_a_promotion_when_the_push_is_answered(cluster: Cluster) -> None:
    cluster.wait_for_two()
    for number in (2, 1, 2):
        epoch = cluster.promote(number)
        assert cluster.epochs() == [epoch, epoch]
        with Client(cluster.config.url) as client:
            answers = [client.predict([GOOD])[0] for _ in range(8)]
        assert {(answer["version"], answer["epoch"]) for answer in answers} == {(f"sentiment:{number}", epoch)}


def test_where_ray_reaches_nobody_a_replica_speaks_for_itself(cluster: Cluster) -> None:
    assert asyncio.run(alpha.broadcast(APP, "sync")) == [cluster.registry.epoch()] * 2
    assert asyncio.run(alpha.broadcast(APP, "no_such_method")) == []
    assert asyncio.run(alpha.broadcast("nobody", "sync")) == []


def test_what_was_asked_is_on_no_disk(cluster: Cluster) -> None:
    url, headers = f"{cluster.config.url}/v1/predict", {"x-request-id": CANARY, "serve_multiplexed_model_id": CANARY}
    for row, status in (({"text": CANARY}, 200), ({"prompt": CANARY}, 404), ({CANARY: CANARY}, 422)):
        assert httpx.post(url, json=GOOD | row, headers=headers, params={"q": CANARY}).status_code == status
    written = [path for path in cluster.home.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert written == []


def test_every_replica_follows_a_promotion_by_itself_within_a_second(cluster: Cluster) -> None:
    epoch, seen, started_at = cluster.promote(1), set[str](), time.monotonic()
    while len(seen) < 2:
        said: Any = httpx.get(f"{cluster.config.url}/v1/status", timeout=30).json()
        if said["epoch"] == epoch:
            seen.add(said["traffic"]["process"])
        assert time.monotonic() - started_at < 5  # a second, where the machine has nothing else to do


def test_a_rolling_update_loses_no_request_without_any_retry(cluster: Cluster) -> None:
    cluster.wait_for_two()
    before = {replica.pid for replica in _replicas()}
    with Load(cluster.config.url, retries=0, clients=2) as load:
        app.deploy(replace(cluster.config, new_labels=False), TWO)
    print(f"{load.counts['asked']} requests, {len(load.failures)} failures")  # noqa: T201
    assert load.failures == []
    assert before.isdisjoint(replica.pid for replica in _replicas())


def test_what_a_killed_replica_does_not_answer_a_retry_does(cluster: Cluster) -> None:
    cluster.wait_for_two()
    with Load(cluster.config.url, retries=3) as load:
        time.sleep(1)
        killed = _replicas()[0]
        killed.kill()
        time.sleep(2)
    retries = load.counts["sent"] - load.counts["asked"]
    print(f"{load.counts['asked']} requests, {retries} retries, {len(load.failures)} failures")  # noqa: T201
    assert load.failures == []
    assert load.counts["asked"] > 20
    assert killed.pid not in {replica.pid for replica in _replicas()}


def _replicas() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if f"ServeReplica:{APP}" in _title(one)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""
