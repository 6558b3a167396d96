"""Resolving, publishing and promoting: with 100,000 versions of a prompt against 100, and against MLflow's registry."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import insert, text

import registry as package
from registry import Move, Registry
from registry.canonical import digest_of
from registry.database import connect
from registry.models import BlobRow, PromptRow, VersionRow
from tests.registry.conftest import PostgresServer, server_binaries

from ._turns import Results, result

FEW, MANY = 100, 100_000
GROWTH_GOAL = 1.5
GOALS = {"resolve": 10.0, "publish": 3.0, "publish with its artifact": 3.0, "promote": 1.0}
TURNS = {"resolve": 400, "publish": 150, "promote": 150}
AT_ONCE = 5_000
BLOB = b"x" * 4096
Work = Callable[[], object]


def measure() -> Results:
    """The ratios of medians; what was compared says medians and 99th percentiles in milliseconds."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        lines = _growth("sqlite", [f"sqlite:///{folder}/{size}/registry.db" for size in (FEW, MANY)], folder)
        if binaries := server_binaries():
            server = held.enter_context(_postgresql(binaries))
            lines += _growth("postgresql", [server.url(f"of_{size}") for size in (FEW, MANY)], folder)
        return [*lines, *_beside_mlflow(folder)]


def _growth(backend: str, urls: Sequence[str], folder: Path) -> list[dict[str, object]]:
    with ExitStack() as held:
        works: list[dict[str, Work]] = []
        took = 0.0
        for size, url in zip((FEW, MANY), urls, strict=True):
            took = _fill(url, size)
            opened = Registry.open(url, str(folder / f"{backend}-{size}"))
            works.append(_ours(held.enter_context(closing(opened))))
        lines = []
        for name, turns in TURNS.items():
            few, many = _in_turn([work[name] for work in works], turns)
            what = f"{MANY:,} versions {_said(many)}, {FEW} versions {_said(few)}; filled in {took:.0f} s"
            ratio = median(many) / median(few)
            lines.append(
                result(f"registry {name}, {backend}, {MANY:,} against {FEW}", ratio, GROWTH_GOAL, what, at_most=True)
            )
        return lines


def _beside_mlflow(folder: Path) -> Iterator[dict[str, object]]:
    url = f"sqlite:///{folder}/beside/registry.db"
    _fill(url, FEW)
    with closing(Registry.open(url, str(folder / "beside" / "store"))) as opened:
        ours, theirs = _ours(opened), _mlflow(folder)
        for name, goal in GOALS.items():
            here, there = _in_turn([ours[name.split(" ")[0]], theirs[name]], TURNS[name.split(" ")[0]])
            what = f"{FEW} versions on SQLite: {_said(here)}, MLflow's registry {_said(there)}"
            yield result(f"registry {name} against MLflow's", median(there) / median(here), goal, what)


def _ours(opened: Registry) -> dict[str, Work]:
    numbers = count(1)

    def publish() -> None:
        number = next(numbers)
        blob = b"%d" % number + BLOB
        opened.publish("sentiment", blob, {}, idempotency_key=f"new-{number}", actor="bench")

    def promote() -> None:
        opened.promote([Move(f"sentiment:{1 + next(numbers) % 2}")], actor="bench")

    opened.promote([Move("sentiment:1")], actor="bench")
    return {"resolve": lambda: opened.resolve("sentiment"), "publish": publish, "promote": promote}


def _mlflow(folder: Path) -> dict[str, Work]:
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri, uri)
    client.create_registered_model("sentiment")
    experiment = client.create_experiment("bench", artifact_location=str(folder / "artifacts"))
    run = client.create_run(experiment).info.run_id
    numbers = count(1)

    def publish() -> None:
        """The least: the bytes in a file, and the version that points at it."""
        path = folder / "models" / str(next(numbers))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(BLOB)
        client.create_model_version("sentiment", str(path), tags={"digest": digest_of(BLOB)})

    def publish_artifact() -> None:
        """As its users do: the file into the artifact store of a run, then the version that points at it."""
        path = folder / str(next(numbers))
        path.write_bytes(BLOB)
        client.log_artifact(run, str(path), "models")
        client.create_model_version("sentiment", f"runs:/{run}/models/{path.name}", run)

    def promote() -> None:
        client.set_registered_model_alias("sentiment", "production", str(1 + next(numbers) % 2))

    for _ in range(FEW):
        publish()
    promote()

    def resolve() -> object:
        return client.get_model_version_by_alias("sentiment", "production")

    return {
        "resolve": resolve,
        "publish": publish,
        "publish with its artifact": publish_artifact,
        "promote": promote,
    }


def _fill(url: str, versions: int) -> float:
    """So many READY versions of one prompt, in bulk; the seconds that it took."""
    package.upgrade(url)
    now = datetime.now(UTC)
    card = {"form": "prefix", "method": "prefix-tuning", "metrics": {"accuracy": 0.875}, "labels": ["bad", "good"]}
    began = time.perf_counter()
    engine = connect(url)
    with engine.execution_options(write=True).begin() as connection:
        said = {"created_by": "bench", "created_at": now}
        prompt = {"id": 1, "name": "sentiment", "next_number": versions + 1}
        connection.execute(insert(PromptRow), prompt | said)
        for start in range(0, versions, AT_ONCE):
            numbers = range(start + 1, min(start + AT_ONCE, versions) + 1)
            digests = {number: digest_of(b"%d" % number) for number in numbers}
            blobs = [{"digest": digest, "size": 4, "state": "LIVE", "touched_at": now} for digest in digests.values()]
            connection.execute(insert(BlobRow), blobs)
            connection.execute(
                insert(VersionRow),
                [
                    {"prompt_id": 1, "number": number, "state": "READY", "digest": digests[number], "size": 4}
                    | {"card": card, "idempotency_key": f"k{number}", "message": "", "run_id": None}
                    | said
                    for number in numbers
                ],
            )
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT setval(pg_get_serial_sequence('prompt', 'id'), 1)"))
            connection.execute(text("ANALYZE"))
    engine.dispose()
    return time.perf_counter() - began


def _in_turn(works: Sequence[Work], turns: int) -> list[list[float]]:
    """Milliseconds of each, one of each per turn, after some that do not count."""
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(-5, turns):
        for milliseconds, work in zip(taken, works, strict=True):
            began = time.perf_counter()
            work()
            if turn >= 0:
                milliseconds.append((time.perf_counter() - began) * 1000)
    return taken


def _said(milliseconds: Sequence[float]) -> str:
    return f"{median(milliseconds):.2f} ms (p99 {quantiles(milliseconds, n=100)[98]:.2f})"


@contextmanager
def _postgresql(binaries: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(binaries)
    try:
        server.wait()
        for size in (FEW, MANY):
            server.execute(f"CREATE DATABASE of_{size}")
        yield server
    finally:
        server.stop()
