import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods import Artifact, Backbone, GenerationHead, LinearHead, SoftPrompt, TagHead
from registry import Move, Registry
from serve import errors, report
from serve.config import ServeConfig
from serve.engine.bank import Bank
from serve.engine.engine import PromptEngine
from serve.schemas import Input

from .conftest import QA, SENTIMENT, STORY, TOPIC, Publish
from .engines import engine_of, numbers, run, until

ROW = Input(prompt="sentiment", text="the film was very good")


async def version_of(engine: PromptEngine) -> str:
    return (await engine.predict([ROW]))[0].version.reference


def test_a_promotion_is_live_within_a_second_and_answers_are_never_mixed(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        for seed in (1, 2):
            publish("sentiment", make(SENTIMENT, seed, length=seed))
        registry.promote([Move("sentiment:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            golden = {
                n: numbers((await engine.predict([Input(prompt=f"sentiment:{n}", text=ROW.text)]))[0]) for n in (1, 2)
            }
            live = {1: 1}  # version by epoch
            stop, seen = asyncio.Event(), []

            async def load() -> None:
                while not stop.is_set():
                    found = await engine.predict([ROW] * 3)
                    assert len({(one.version.number, one.epoch) for one in found}) == 1
                    seen.extend(found)

            callers = [asyncio.create_task(load()) for _ in range(8)]
            for turn in range(6):
                target = 2 - turn % 2
                await asyncio.to_thread(registry.promote, [Move(f"sentiment:{target}")], actor="ada")
                live[turn + 2] = target
                took = await until(lambda epoch=turn + 2: engine.follower.snapshot.epoch == epoch)
                assert took < 1
                (now,) = await engine.predict([ROW])
                assert now.version.number == target
            stop.set()
            await asyncio.gather(*callers)
        assert {one.version.number for one in seen} == {1, 2}
        for one in seen:
            assert one.version.number == live[one.epoch]
            assert numbers(one) == pytest.approx(golden[one.version.number], abs=1e-5)

    run(main())


def test_several_prompts_move_together(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        for name in ("left", "right"):
            for seed in (1, 2):
                publish(name, make(SENTIMENT, seed, length=3 + seed))
        registry.promote([Move("left:1"), Move("right:1")], actor="ada")
        both = [Input(prompt="left", text="good"), Input(prompt="right", text="good")]
        async with engine_of(tiny, registry) as engine:
            moving = asyncio.create_task(
                asyncio.to_thread(registry.promote, [Move("left:2"), Move("right:2")], actor="ada")
            )
            seen: set[tuple[int, ...]] = set()
            while (2, 2) not in seen:
                seen.add(tuple(one.version.number for one in await engine.predict(both)))
            await moving
        assert seen <= {(1, 1), (2, 2)}

    run(main())


def damaged(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    version = publish("sentiment", artifact)
    digits = version.digest.removeprefix("sha256:")
    (blob,) = [path for path in Path(config.store_url).rglob(f"*{digits}*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x7f")
    return "is damaged"


def foreign(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    card = replace(artifact.card, backbone=replace(artifact.card.backbone, name="other", weights="f" * 64))
    publish("sentiment", replace(artifact, card=card))
    return "was trained on other (weights ffffffffffff)"


def misshapen(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    assert isinstance(artifact.head, LinearHead)
    publish("sentiment", replace(artifact, head=replace(artifact.head, weight=artifact.head.weight[:, :-1])))
    return "its linear head (weight [2, 39], bias [2]) is none of a classification task with 2 labels"


def too_wide(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    publish("sentiment", replace(artifact, form=SoftPrompt(torch.zeros(3, 41))))
    return "a soft prompt of shape (3, 41) does not fit word embeddings of width 40"


def of_another_kind(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    assert isinstance(artifact.head, LinearHead)
    publish("sentiment", replace(artifact, head=TagHead(artifact.head.weight, artifact.head.bias)))
    return "its tags head (weight [2, 40], bias [2]) is none of a classification task with 2 labels"


def speaking(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    card = replace(artifact.card, task=replace(STORY, name="sentiment"))
    publish("sentiment", replace(artifact, card=card, head=GenerationHead()))
    return "is an encoder and generates no text"


def overflowing(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    assert isinstance(artifact.head, LinearHead)
    publish(
        "sentiment", replace(artifact, head=replace(artifact.head, weight=torch.full_like(artifact.head.weight, 3e38)))
    )
    return "a number that is not finite"


def headless(config: ServeConfig, registry: Registry, artifact: Artifact, publish: Publish) -> str:
    publish("sentiment", replace(artifact, head=None))
    return "answers nothing"


@pytest.mark.parametrize(
    "spoil", [damaged, foreign, misshapen, too_wide, of_another_kind, speaking, overflowing, headless]
)
def test_a_version_that_fails_its_checks_is_never_swapped_in(
    tiny: Backbone,
    registry: Registry,
    config: ServeConfig,
    make: Callable[..., Artifact],
    publish: Publish,
    spoil: Callable[..., str],
) -> None:
    async def main() -> None:
        publish("sentiment", make(SENTIMENT, 1))
        publish("qa", make(QA, 1))
        said = spoil(config, registry, make(SENTIMENT, 2), publish)
        registry.promote([Move("sentiment:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            registry.promote([Move("sentiment:2"), Move("sentiment:2", "staging"), Move("qa:1")], actor="ada")
            await until(lambda: engine.follower.snapshot.epoch > 1)
            assert await version_of(engine) == "sentiment:1"
            with pytest.raises(errors.Integrity, match="sentiment:2 is not served"):
                await engine.predict([Input(prompt="sentiment@staging", text="good")])
            assert ("qa", "production") in engine.follower.snapshot.served
            production, staging = report.status(engine).refused
            assert (production.alias, production.version, production.serving) == (
                "production", "sentiment:2", "sentiment:1",
            )  # fmt: skip
            assert (staging.alias, staging.serving) == ("staging", None)
            assert said in production.reason
            registry.rollback("sentiment", actor="ada")
            await until(lambda: len(engine.follower.snapshot.refused) == 1)

    run(main())


@pytest.mark.parametrize("spoil", [misshapen, too_wide, of_another_kind, speaking])
def test_a_pinned_version_that_does_not_fit_is_refused_too(
    tiny: Backbone,
    registry: Registry,
    config: ServeConfig,
    make: Callable[..., Artifact],
    publish: Publish,
    spoil: Callable[..., str],
) -> None:
    async def main() -> None:
        publish("sentiment", make(SENTIMENT, 1))
        said = spoil(config, registry, make(SENTIMENT, 2), publish)
        async with engine_of(tiny, registry) as engine:
            with pytest.raises(errors.Integrity) as raised:
                await engine.predict([Input(prompt="sentiment:2", text="good")])
        assert str(raised.value).startswith("row 0: ")
        assert said in str(raised.value)

    run(main())


def test_a_refused_version_is_tried_again(
    tiny: Backbone,
    registry: Registry,
    config: ServeConfig,
    make: Callable[..., Artifact],
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve.routing.follower.RETRY_S", 0.1)

    async def main() -> None:
        version = publish("sentiment", make(SENTIMENT, 1))
        digits = version.digest.removeprefix("sha256:")
        (blob,) = [path for path in Path(config.store_url).rglob(f"*{digits}*") if path.is_file()]
        away = blob.rename(Path(config.store_url).parent / "away")
        registry.promote([Move("sentiment:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            with pytest.raises(errors.Integrity):
                await version_of(engine)
            shutil.copy(away, blob)
            await until(lambda: not engine.follower.snapshot.refused)
            assert await version_of(engine) == "sentiment:1"

    run(main())


def test_serving_goes_on_while_the_registry_is_down_and_catches_up_after(
    tiny: Backbone, registry: Registry, config: ServeConfig, make: Callable[..., Artifact], publish: Publish
) -> None:
    database = Path(config.store_url).parent / "registry.db"
    away = Path(config.store_url).parent / "away.db"

    def swap(source: Path, target: Path) -> None:
        registry.close()  # lets go of its connections, and with them of the file that they hold open
        source.rename(target)

    async def main() -> None:
        for seed in (1, 2):
            publish("sentiment", make(SENTIMENT, seed))
        registry.promote([Move("sentiment:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            assert report.status(engine).stale_since is None
            digest = registry.resolve("sentiment").digest
            swap(database, away)
            await until(lambda: report.status(engine).stale_since is not None)
            assert "did not answer" in (report.status(engine).stale_reason or "")
            assert await version_of(engine) == "sentiment:1"
            with pytest.raises(errors.Unavailable, match="row 0: the registry does not answer"):
                await engine.predict([Input(prompt="sentiment:2", text="good")])
            for pinned in ("sentiment:1", f"sentiment@{digest}"):  # loaded, because an alias names it
                (found,) = await engine.predict([Input(prompt=pinned, text="good")])
                assert found.version.number == 1
            swap(away, database)
            await until(lambda: report.status(engine).stale_since is None)
            registry.promote([Move("sentiment:2")], actor="ada")
            await until(lambda: engine.follower.snapshot.epoch == 2)
            assert await version_of(engine) == "sentiment:2"

    run(main())


class Store:
    """Some blobs come only once they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slow: set[str] = set()
        self.go = threading.Event()
        honest = Registry.fetch_digest

        def waiting(registry: Registry, digest: str) -> bytes:
            if digest in self.slow:
                assert self.go.wait(30)
            return honest(registry, digest)

        monkeypatch.setattr(Registry, "fetch_digest", waiting)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = Store(monkeypatch)
    yield store
    store.go.set()


def number(engine: PromptEngine, prompt: str) -> int:
    return engine.follower.snapshot.served[prompt, "production"].version.number


def test_versions_that_load_slowly_hold_up_no_other_prompt(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish, store: Store
) -> None:
    async def main() -> None:
        for seed in (1, 2):
            publish("topic", make(TOPIC, seed))
        for seed in range(12):
            version = publish("sentiment", make(SENTIMENT, seed))
            store.slow |= {version.digest} if seed else set()
        registry.promote([Move("sentiment:1"), Move("topic:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            for n in range(2, 13):
                registry.promote([Move(f"sentiment:{n}", f"a{n}")], actor="ada")
            registry.promote([Move("sentiment:2")], actor="ada")
            pinned = [
                asyncio.create_task(engine.predict([Input(prompt=f"sentiment:{n}", text="good")])) for n in (3, 4)
            ]
            await asyncio.sleep(0.4)
            registry.promote([Move("topic:2")], actor="ada")
            await until(lambda: number(engine, "topic") == 2, 1)
            assert engine.follower.snapshot.epoch == 1  # there is more to come
            assert await version_of(engine) == "sentiment:1"
            await until(lambda: len(report.status(engine).refused) == 12)
            late = next(one for one in report.status(engine).refused if one.alias == "production")
            assert (late.version, late.serving) == ("sentiment:2", "sentiment:1")
            assert late.reason.startswith("it is still being loaded")
            store.go.set()
            await until(lambda: engine.follower.snapshot.epoch == registry.epoch())
            assert report.status(engine).refused == []
            assert await version_of(engine) == "sentiment:2"
            assert len(await asyncio.gather(*pinned)) == 2

    run(main())


def test_what_moved_together_waits_for_the_slowest_of_them_and_for_no_later_change(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish, store: Store
) -> None:
    async def main() -> None:
        for name in ("left", "right"):
            for seed in (1, 2, 3):
                publish(name, make(SENTIMENT, seed, length=3 + seed + 4 * (name == "left")))
        store.slow = {registry.resolve("right:2").digest}
        registry.promote([Move("left:1"), Move("right:1")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            registry.promote([Move("left:2"), Move("right:2")], actor="ada")
            await asyncio.sleep(0.6)
            assert (number(engine, "left"), number(engine, "right")) == (1, 1)
            registry.promote([Move("left:3")], actor="ada")  # overtakes a part of what is on its way
            await until(lambda: number(engine, "left") == 3, 1)
            assert number(engine, "right") == 1
            store.go.set()
            await until(lambda: engine.follower.snapshot.epoch == 3)
            assert (number(engine, "left"), number(engine, "right")) == (3, 2)

    run(main())


def test_a_start_waits_for_everything(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish, store: Store
) -> None:
    async def main() -> None:
        store.slow = {publish("sentiment", make(SENTIMENT, 1)).digest}
        registry.promote([Move("sentiment:1")], actor="ada")
        engine = PromptEngine(tiny, registry)
        try:
            start = asyncio.create_task(engine.follower.start())
            await asyncio.sleep(0.3)
            assert not start.done()
            store.go.set()
            await start
            assert await version_of(engine) == "sentiment:1"
        finally:
            await engine.close()

    run(main())


def test_a_promoted_version_that_was_dropped_from_memory_is_read_again(
    tiny: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        for task in (SENTIMENT, TOPIC):
            publish(task.name, make(task, 1))
        registry.promote([Move("sentiment:1"), Move("topic:1")], actor="ada")
        engine = PromptEngine(tiny, registry)
        engine.bank = Bank(registry, tiny, max_bytes=make(TOPIC, 1).nbytes)
        try:
            await engine.follower.start()
            rows = [Input(prompt=name, text="the bridge") for name in ("sentiment", "topic", "sentiment")]
            first = [numbers(one) for one in await engine.predict(rows)]
            assert first == [numbers(one) for one in await engine.predict(rows)]
            assert engine.bank.nbytes <= make(TOPIC, 1).nbytes
        finally:
            await engine.close()

    run(main())


def test_a_database_that_was_brought_back_is_followed_though_it_counts_as_far(
    tiny: Backbone, registry: Registry, config: ServeConfig, make: Callable[..., Artifact], publish: Publish
) -> None:
    database = Path(config.database_url.removeprefix("sqlite:///"))

    async def main() -> None:
        for seed in (1, 2, 3):
            publish("sentiment", make(SENTIMENT, seed))
        registry.promote([Move("sentiment:1")], actor="ada")
        with closing(sqlite3.connect(database)) as now, closing(sqlite3.connect(database.with_name("copy"))) as copy:
            now.backup(copy)
        registry.promote([Move("sentiment:2")], actor="ada")
        async with engine_of(tiny, registry) as engine:
            assert await version_of(engine) == "sentiment:2"
            with closing(sqlite3.connect(database)) as now, closing(sqlite3.connect(database.with_name("copy"))) as old:
                old.backup(now)
            registry.promote([Move("sentiment:3")], actor="ada")
            assert registry.epoch() == engine.follower.snapshot.epoch
            await until(lambda: engine.follower.snapshot.served["sentiment", "production"].version.number == 3)

    run(main())
