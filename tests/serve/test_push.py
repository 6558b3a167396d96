"""Following at once, when somebody asks for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from methods import Artifact, Backbone
from registry import Move, Registry
from serve import report
from serve.api import create_app
from serve.config import ServeConfig
from serve.engine.engine import PromptEngine
from serve.routing.push import Announce

from .conftest import SENTIMENT, Publish
from .engines import engine_of, run


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    for seed in (1, 2):
        publish("sentiment", make(SENTIMENT, seed))
    registry.promote([Move("sentiment:1")], actor="ada")
    return registry


@asynccontextmanager
async def asking(
    config: ServeConfig, announce: Announce | None = None, client: str = "127.0.0.1"
) -> AsyncIterator[tuple[httpx.AsyncClient, PromptEngine]]:
    app = create_app(config, announce=announce)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=(client, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield http, app.state.engine


@pytest.fixture(autouse=True)
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.routing.follower.INTERVAL_S", 3600)


def test_a_server_that_is_asked_follows_at_once_and_says_its_epoch(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as (http, engine):
            promoted.promote([Move("sentiment:2")], actor="ada")
            answer = await http.post("/v1/sync")
            assert (answer.status_code, answer.json()) == (200, {"epochs": [2]})
            assert engine.follower.snapshot.served["sentiment", "production"].version.number == 2

    run(main())


def test_several_replicas_answer_with_an_epoch_each(config: ServeConfig, promoted: Registry) -> None:
    async def announce() -> Sequence[int]:
        return [7, 6]

    async def main() -> None:
        async with asking(config, announce) as (http, _):
            assert (await http.post("/v1/sync")).json() == {"epochs": [7, 6]}

    run(main())


@pytest.mark.parametrize(
    ("client", "headers"),
    [("10.0.0.7", {}), ("127.0.0.1", {"host": "web.example"}), ("::1", {"x-forwarded-for": "::1"})],
)
def test_only_this_machine_may_ask(
    config: ServeConfig, promoted: Registry, client: str, headers: dict[str, str]
) -> None:
    async def main() -> None:
        async with asking(config, client=client) as (http, _):
            answer = await http.post("/v1/sync", headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["message"].endswith("may have it follow at once")

    run(main())


def test_a_registry_that_is_down_is_named(config: ServeConfig, promoted: Registry) -> None:
    database = Path(config.store_url).parent / "registry.db"

    async def main() -> None:
        async with asking(config) as (http, engine):
            engine.follower._registry.close()  # lets go of the file
            database.rename(database.with_name("away.db"))
            database.mkdir()
            answer = await http.post("/v1/sync")
            assert (answer.status_code, answer.json()["error"]["message"]) == (503, "the registry does not answer")
            assert report.status(engine).stale_since is not None

    run(main())


def test_those_who_ask_at_once_share_one_look_that_is_later_than_their_question(
    tiny: Backbone, promoted: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    honest = Registry.head

    def counted(registry: Registry) -> str:
        found = honest(registry)
        looks.append(found)
        return found

    async def main() -> None:
        async with engine_of(tiny, promoted) as engine:
            monkeypatch.setattr(Registry, "head", counted)
            first = asyncio.create_task(engine.follower.sync())
            await asyncio.sleep(0)  # it has begun to look
            promoted.promote([Move("sentiment:2")], actor="ada")
            await asyncio.gather(first, *(engine.follower.sync() for _ in range(20)))
            assert engine.follower.snapshot.epoch == 2
            assert len(looks) <= 2

    run(main())


def test_who_gives_up_asking_spoils_it_for_nobody(tiny: Backbone, promoted: Registry) -> None:
    async def main() -> None:
        async with engine_of(tiny, promoted) as engine:
            promoted.promote([Move("sentiment:2")], actor="ada")
            hasty, patient = (asyncio.create_task(engine.follower.sync()) for _ in range(2))
            await asyncio.sleep(0)
            hasty.cancel()
            await patient
            assert engine.follower.snapshot.epoch == 2

    run(main())


def test_an_engine_closes_while_it_looks(tiny: Backbone, promoted: Registry) -> None:
    async def main() -> None:
        async with engine_of(tiny, promoted) as engine:
            asking = asyncio.create_task(engine.follower.sync())
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(main())
