"""Servers that serve nothing unsigned of some prompts: what was changed, or vouched for by nobody, never answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from methods import Artifact
from registry import Move, Registry
from registry.database import connect
from registry.signing.ed25519 import PrivateKey
from serve import report
from serve.config import ServeConfig
from serve.engine.engine import PromptEngine
from serve.engine.opening import opened
from serve.errors import Integrity
from serve.routing import follower
from serve.schemas import Input

from .conftest import SENTIMENT, TOPIC, Publish
from .engines import run, until

KEY = PrivateKey.new()


@pytest.fixture
def strict(config: ServeConfig, tmp_path: Path) -> ServeConfig:
    return replace(config, known=tmp_path / "known", require_signed=("senti*",))


@pytest.fixture
def published(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    """Three versions of sentiment, of which the first is signed and in production; one of topic, unsigned too."""
    for seed in (1, 2, 3):
        publish("sentiment", make(SENTIMENT, seed, length=seed))
    publish("topic", make(TOPIC, 4))
    registry.signatures.create_key("release", KEY.public, actor="ada")
    registry.signatures.sign("sentiment:1", KEY, actor="ada")
    registry.promote([Move("sentiment:1"), Move("topic:1")], actor="ada")
    return registry


async def answers(engine: PromptEngine, prompt: str) -> str:
    (found,) = await engine.predict([Input(prompt=prompt, text="the film was very good")])
    return found.version.reference


def change(config: ServeConfig, *statements: str) -> None:
    """Change rows behind the back of the triggers, as whoever owns the database can."""
    raw = connect(config.database_url)
    with raw.begin() as connection:
        for name in ("prompt_version_frozen_update", "version_signature_frozen_update", "version_signature_closed"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        for statement in statements:
            connection.execute(text(statement))
    raw.dispose()


def test_an_unsigned_version_is_not_swapped_in_and_the_status_says_why(
    strict: ServeConfig, published: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETRY_S", 0.05)

    async def main() -> None:
        async with opened(strict) as engine:
            assert [await answers(engine, name) for name in ("sentiment", "topic")] == ["sentiment:1", "topic:1"]
            published.promote([Move("sentiment:2")], actor="ada")
            await until(lambda: engine.follower.snapshot.epoch == 2)
            (refused,) = report.status(engine).refused
            assert (refused.version, refused.reason) == ("sentiment:2", "sentiment:2 is not signed")
            assert refused.serving == await answers(engine, "sentiment") == "sentiment:1"
            with pytest.raises(Integrity, match="row 0: sentiment:3 is not signed"):
                await answers(engine, "sentiment:3")
            published.signatures.sign("sentiment:2", KEY, actor="ada")
            await until(lambda: not report.status(engine).refused)
            assert await answers(engine, "sentiment") == await answers(engine, "sentiment:2") == "sentiment:2"

    run(main())


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ('UPDATE prompt_version SET card = \'{"method": "other"}\' WHERE number = 1', "are not what was signed"),
        (
            "UPDATE prompt_version SET digest = (SELECT digest FROM prompt_version WHERE number = 2) WHERE id = 1",
            "are not what was signed",
        ),
        ("UPDATE version_signature SET signature = 'AAAA'", "are not what was signed"),
        ("INSERT INTO key_revocation VALUES ('release', 'ada', '2026-05-01 00:00:00.000000')", "was revoked"),
        ("UPDATE version_signature SET version_id = 2", "sentiment:1 is not signed"),
    ],
)
def test_what_was_changed_after_it_was_signed_is_refused(
    strict: ServeConfig, published: Registry, statement: str, why: str
) -> None:
    change(strict, statement)

    async def main() -> None:
        async with opened(strict) as engine:
            (refused,) = report.status(engine).refused
            assert (refused.version, refused.serving) == ("sentiment:1", None)
            assert why in refused.reason
            for reference in ("sentiment", "sentiment:1"):
                with pytest.raises(Integrity, match=why):
                    await answers(engine, reference)
            assert await answers(engine, "topic") == "topic:1"

    run(main())


def test_a_candidate_has_to_be_signed_too(strict: ServeConfig, published: Registry) -> None:
    published.promote([Move("sentiment:2", percent=50)], actor="ada")

    async def main() -> None:
        async with opened(strict) as engine:
            (refused,) = report.status(engine).refused
            assert (refused.version, refused.candidate) == ("sentiment:2", True)
            assert {await answers(engine, "sentiment") for _ in range(8)} == {"sentiment:1"}

    run(main())


def test_with_trusted_keys_no_other_counts_though_the_registry_knows_it(
    strict: ServeConfig, published: Registry
) -> None:
    other = PrivateKey.new()

    async def main() -> None:
        async with opened(replace(strict, trusted_keys=(other.public,))) as engine:
            (refused,) = report.status(engine).refused
            assert "this key is not among the trusted ones" in refused.reason
        published.signatures.create_key("other", other.public, actor="eve")
        published.signatures.sign("sentiment:1", other, actor="eve")
        async with opened(replace(strict, trusted_keys=(other.public,))) as engine:
            assert await answers(engine, "sentiment") == "sentiment:1"

    run(main())


@pytest.mark.parametrize("kept_strictly", [True, False])
def test_a_cold_start_without_the_registry_takes_what_it_kept_of_the_signatures(
    strict: ServeConfig, published: Registry, kept_strictly: bool
) -> None:
    database = Path(strict.database_url.removeprefix("sqlite:///"))

    async def main() -> None:
        async with opened(strict if kept_strictly else replace(strict, require_signed=())):
            pass
        published.close()
        database.rename(database.with_name("away.db"))
        async with opened(strict) as engine:
            assert await answers(engine, "topic") == "topic:1"
            if kept_strictly:
                assert await answers(engine, "sentiment") == "sentiment:1"
            else:
                assert "sentiment" not in {alias[0] for alias in engine.follower.snapshot.served}

    run(main())


def test_a_kept_state_that_was_changed_shows(strict: ServeConfig, published: Registry) -> None:
    database = Path(strict.database_url.removeprefix("sqlite:///"))

    async def main() -> None:
        async with opened(strict):
            pass
        published.close()
        database.rename(database.with_name("away.db"))
        assert strict.known is not None
        (state,) = strict.known.rglob("state.json")
        first = state.read_text()
        for changed in (first.replace('"number": 1', '"number": 2'), first.replace('"card": "sha256:', '"card": "sha')):
            assert changed != first
            state.write_text(changed)
            async with opened(strict) as engine:
                assert engine.follower.snapshot.served.keys() == {("topic", "production")}

    run(main())
