"""A server that starts while the registry or its store is down, from what it served last."""

import errno
import json
import shutil
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from methods import Artifact
from registry import Move, Registry, Unavailable
from registry.files import Folder
from serve import report
from serve.config import ServeConfig
from serve.engine.engine import PromptEngine
from serve.engine.opening import opened
from serve.routing.known import STATE
from serve.schemas import Input

from .conftest import SENTIMENT, Publish
from .engines import run, until

ROW = Input(prompt="sentiment", text="the film was very good")
CANARY = "zebrafinch-7719"


@pytest.fixture
def known(config: ServeConfig, tmp_path: Path) -> ServeConfig:
    return replace(config, known=tmp_path / "known")


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    """Three versions of sentiment: one in production, one its candidate, one that no alias names."""
    for seed in (1, 2, 3):
        publish("sentiment", make(SENTIMENT, seed, length=seed))
    registry.promote([Move("sentiment:1"), Move("sentiment:2", "staging")], actor="ada", reason=CANARY)
    registry.promote([Move("sentiment:2", percent=50)], actor="ada")
    return registry


class Outage:
    """Takes the registry's database or store away, and brings it back."""

    def __init__(self, config: ServeConfig, registry: Registry) -> None:
        self._home, self._registry = Path(config.store_url).parent, registry

    def begin(self, *what: str) -> None:
        self._registry.close()  # lets go of the file
        for name in what:
            (self._home / name).rename(self._home / f"away-{name}")

    def end(self) -> None:
        for away in self._home.glob("away-*"):
            away.rename(self._home / away.name.removeprefix("away-"))


@pytest.fixture
def outage(known: ServeConfig, promoted: Registry) -> Outage:
    return Outage(known, promoted)


async def serve_once(config: ServeConfig) -> None:
    async with opened(config):
        pass


async def version_of(engine: PromptEngine, prompt: str = "sentiment", key: str | None = None) -> str:
    (found,) = await engine.predict([Input(prompt=prompt, text=ROW.text, key=key)])
    return found.version.reference


def kept(config: ServeConfig) -> list[Path]:
    assert config.known is not None
    return sorted(path for path in config.known.rglob("*") if path.is_file())


def test_what_is_kept_is_for_its_owner_alone_and_holds_no_word_of_anybody(
    known: ServeConfig, promoted: Registry
) -> None:
    run(serve_once(known))
    state, *blobs = sorted(kept(known), key=lambda path: path.name != STATE)
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept(known)} == {0o600}
    said = json.loads(state.read_text())
    assert (said["epoch"], len(said["aliases"]), len(blobs)) == (2, 2, 2)
    production, _ = said["aliases"]
    assert production["version"].keys() == {"id", "name", "number", "digest", "size"}
    assert (production["candidate"]["number"], production["percent"]) == (2, 50)
    assert CANARY not in state.read_text()


def test_what_was_served_last_answers_on_where_its_successor_cannot_be_had(
    known: ServeConfig, promoted: Registry, outage: Outage
) -> None:
    """The store goes, a version that nobody has loaded is promoted, and the server is started twice after that."""

    async def main() -> None:
        await serve_once(known)
        outage.begin("store")
        promoted.promote([Move("sentiment:3")], actor="ada")
        for _ in range(2):
            async with opened(known) as engine:
                said = report.status(engine)
                assert (said.ready, said.epoch, said.stale_since) == (True, 3, None)
                assert [(one.version, one.serving) for one in said.refused] == [("sentiment:3", "sentiment:1")]
                assert await version_of(engine) == "sentiment:1"
        outage.end()
        async with opened(known) as engine:
            assert await version_of(engine) == "sentiment:3"

    run(main())


def test_a_server_that_serves_nothing_of_what_is_promoted_is_not_ready(
    known: ServeConfig, promoted: Registry, outage: Outage
) -> None:
    async def main() -> None:
        outage.begin("store")
        async with opened(known) as engine:
            assert not report.status(engine).ready

    run(main())


@pytest.mark.parametrize("down", [("registry.db",), ("registry.db", "store")])
def test_a_cold_start_without_the_registry_serves_what_was_served_last(
    known: ServeConfig, promoted: Registry, outage: Outage, down: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.cached.YOUNG_S", -1.0)

    async def main() -> None:
        await serve_once(known)
        outage.begin(*down)
        async with opened(known) as engine:
            said = report.status(engine)
            assert (said.ready, said.epoch, said.stale_since is not None) == (True, 2, True)
            assert "is not there, or is empty" in (said.stale_reason or "")
            assert {await version_of(engine, key=f"{n}") for n in range(16)} == {"sentiment:1", "sentiment:2"}
            assert await version_of(engine, "sentiment@staging") == "sentiment:2"
            (line,) = [line for line in report.greeting("", said, 1) if "does not answer" in line]
            assert line.endswith("served is what was known of it last")
            outage.end()
            await until(lambda: report.status(engine).stale_since is None)
            promoted.promote([Move("sentiment:3")], actor="ada")
            await until(lambda: engine.follower.snapshot.epoch == 3)
            assert await version_of(engine) == "sentiment:3"
        assert json.loads(next(path for path in kept(known) if path.name == STATE).read_text())["epoch"] == 3
        assert len(kept(known)) == 3  # of the state, of sentiment:3 and of staging's sentiment:2

    run(main())


def test_what_was_refused_is_not_what_is_known(
    known: ServeConfig, promoted: Registry, outage: Outage, publish: Publish, make: Callable[..., Artifact]
) -> None:
    publish("sentiment", replace(make(SENTIMENT, 4), head=None))

    async def main() -> None:
        async with opened(known) as engine:
            promoted.promote([Move("sentiment:4")], actor="ada")
            await until(lambda: engine.follower.snapshot.epoch == 3)
        outage.begin("registry.db", "store")
        async with opened(known) as engine:
            assert await version_of(engine) == "sentiment:1"
            outage.end()
            await until(lambda: bool(report.status(engine).refused))
            assert await version_of(engine) == "sentiment:1"

    run(main())


def test_a_new_registry_in_the_old_ones_place_is_read_whole(
    known: ServeConfig, promoted: Registry, outage: Outage, make: Callable[..., Artifact]
) -> None:
    async def main() -> None:
        await serve_once(known)
        outage.begin("registry.db")
        async with opened(known) as engine:
            assert await version_of(engine, "sentiment@staging") == "sentiment:2"
            blob = make(SENTIMENT, 9).to_bytes()
            with closing(Registry.open(known.database_url, known.store_url)) as fresh:
                fresh.publish("other", blob, {}, idempotency_key="k", actor="ada")
                for alias in ("production", "staging"):  # as many epochs as the old one had, and the same id
                    fresh.promote([Move("other:1", alias)], actor="ada")
            await until(
                lambda: engine.follower.snapshot.served.keys() == {("other", "production"), ("other", "staging")}
            )
            assert engine.follower.snapshot.epoch == 2

    run(main())


def test_a_cold_start_without_the_store_serves_from_the_copies(
    known: ServeConfig, promoted: Registry, outage: Outage
) -> None:
    async def main() -> None:
        await serve_once(known)
        outage.begin("store")
        async with opened(known) as engine:
            assert report.status(engine).refused == []
            assert await version_of(engine, "sentiment@staging") == "sentiment:2"

    run(main())


def test_a_cold_start_without_anything_known_fails_as_before(known: ServeConfig, config: ServeConfig) -> None:
    broken = {"database_url": "postgresql://nobody@127.0.0.1:1/none"}

    async def main() -> None:
        for start in (replace(known, **broken), replace(config, **broken)):
            with pytest.raises(Unavailable, match="did not answer"):
                async with opened(start):
                    pytest.fail("it started")

    run(main())


@pytest.mark.parametrize("damage", ["", "{", '{"format": 2, "epoch": 1, "aliases": []}'])
def test_a_state_that_cannot_be_read_counts_as_none(
    known: ServeConfig, promoted: Registry, outage: Outage, damage: str
) -> None:
    async def main() -> None:
        await serve_once(known)
        next(path for path in kept(known) if path.name == STATE).write_text(damage)
        outage.begin("registry.db")
        with pytest.raises(Unavailable, match="is not there, or is empty"):
            async with opened(known):
                pytest.fail("it started")
        outage.end()
        async with opened(known) as engine:
            assert await version_of(engine, "sentiment@staging") == "sentiment:2"

    run(main())


def test_a_copy_that_was_damaged_is_never_served(known: ServeConfig, promoted: Registry, outage: Outage) -> None:
    async def main() -> None:
        await serve_once(known)
        outage.begin("registry.db", "store")
        digest = json.loads(next(p for p in kept(known) if p.name == STATE).read_text())["aliases"][0]["version"][
            "digest"
        ]
        (copy,) = [path for path in kept(known) if path.name == digest.removeprefix("sha256:")]
        copy.write_bytes(copy.read_bytes()[:-1] + b"\x7f")
        async with opened(known) as engine:
            assert await version_of(engine, "sentiment@staging") == "sentiment:2"
            refused, candidate = report.status(engine).refused
            assert (refused.version, refused.serving) == ("sentiment:1", None)
            assert (candidate.candidate, "no version that it could stand beside" in candidate.reason) == (True, True)

    run(main())


def test_another_registry_is_not_served_from_what_was_known_of_this_one(
    known: ServeConfig, promoted: Registry, tmp_path: Path
) -> None:
    async def main() -> None:
        await serve_once(known)
        other = replace(known, database_url=f"sqlite:///{tmp_path}/other.db")
        async with opened(other) as engine:
            assert engine.follower.snapshot.epoch == 0

    run(main())
    assert known.known is not None
    assert len(list(known.known.iterdir())) == 2
    shutil.rmtree(known.known)


def test_a_disk_that_is_full_keeps_what_was_kept_before(
    known: ServeConfig, promoted: Registry, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob no longer fits, and the state, which is smaller, would."""
    monkeypatch.setattr("registry.cached.YOUNG_S", -1.0)
    honest = Folder.write

    def full(folder: Folder, key: str, data: bytes) -> None:
        if known.known is not None and str(folder.root).startswith(str(known.known)) and key.startswith("blobs/"):
            raise OSError(errno.ENOSPC, "no space")
        honest(folder, key, data)

    async def main() -> None:
        await serve_once(known)
        monkeypatch.setattr(Folder, "write", full)
        promoted.promote([Move("sentiment:3")], actor="ada")
        async with opened(known) as engine:
            assert await version_of(engine) == "sentiment:3"
        outage.begin("registry.db", "store")
        async with opened(known) as engine:
            assert await version_of(engine, key="some") in {"sentiment:1", "sentiment:2"}

    run(main())
