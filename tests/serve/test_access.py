"""Who is let in: at a loopback address everybody, anywhere else a token's holder, for what its role may."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from registry import Registry, Unavailable
from registry.tokens import ROLES, Role, Tokens
from serve import errors
from serve.api import create_app
from serve.config import ServeConfig
from serve.edge import access
from serve.edge.access import Keys, check_guarded, followed, needed
from serve.edge.port import loops_back

from .engines import run, until

OPEN = ("/healthz", "/v2/health/live", "/v2/health/ready")


@pytest.fixture
def elsewhere(config: ServeConfig, registry: Registry) -> ServeConfig:
    return replace(config, host="0.0.0.0")


@pytest.fixture
def tokens(registry: Registry, config: ServeConfig) -> Iterator[Tokens]:
    opened = Tokens.open(config.database_url)
    yield opened
    opened.close()


@asynccontextmanager
async def asking(config: ServeConfig, client: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=(client, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as asked:
            yield asked


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.7", "fe80::1", "", "localhost.example.org", "127.1")],
    ],
)
def test_a_loopback_address_is_one_that_is_reached_from_nowhere_else(host: str, alone: bool) -> None:
    assert loops_back(host) == alone


def test_no_route_is_left_to_the_rule_for_those_without_one(config: ServeConfig) -> None:
    paths = create_app(config).openapi()["paths"].keys()
    assert {"/v1/predict", "/v1/feedback", "/v1/status", "/metrics", "/healthz"} <= paths
    assert [path for path in paths if needed(path) == "administer"] == []


def test_a_path_without_a_rule_asks_for_an_admin() -> None:
    assert [needed(path) for path in OPEN] == [None, None, None]
    assert needed("/v1/predict") == needed("/v2/models/a/infer") == "ask"
    assert needed("/metrics") == needed("/v1/models/a") == "see"
    assert needed("/v1/feedback") == needed("/v1/feedback/lease") == "correct"
    assert needed("/v1/predicted") == needed("/healthz2") == needed("/v1") == needed("") == "administer"


# of each path the method, and what it takes; the paths are those of the application, and one that there is not
MATRIX: dict[tuple[str, str], Role | None] = {
    ("GET", "/healthz"): None,
    ("GET", "/v2/health/live"): None,
    ("GET", "/v2/health/ready"): None,
    ("POST", "/v1/predict"): "viewer",
    ("GET", "/v1/tasks"): "viewer",
    ("GET", "/v1/status"): "viewer",
    ("GET", "/metrics"): "viewer",
    ("GET", "/openapi.json"): "viewer",
    ("GET", "/v2"): "viewer",
    ("GET", "/v2/models/{name}"): "viewer",
    ("GET", "/v2/models/{name}/ready"): "viewer",
    ("POST", "/v2/models/{name}/infer"): "viewer",
    ("GET", "/v2/models/{name}/versions/{number}"): "viewer",
    ("GET", "/v2/models/{name}/versions/{number}/ready"): "viewer",
    ("POST", "/v2/models/{name}/versions/{number}/infer"): "viewer",
    ("POST", "/v2/repository/index"): "viewer",
    ("GET", "/v1/models"): "viewer",
    ("GET", "/v1/models/{name}"): "viewer",
    ("POST", "/v1/completions"): "viewer",
    ("POST", "/v1/chat/completions"): "viewer",
    ("POST", "/v1/embeddings"): "viewer",
    ("POST", "/v1/feedback"): "trainer",
    ("POST", "/v1/feedback/lease"): "trainer",
    ("POST", "/v1/feedback/settle"): "trainer",
    ("POST", "/v1/sync"): "promoter",
    ("DELETE", "/v1/predictions"): "admin",
}


def test_each_role_is_let_in_where_it_may(elsewhere: ServeConfig, tokens: Tokens) -> None:
    """401 without a token, 403 with one that may not; anything else is an answer to who was let in."""
    said = create_app(elsewhere).openapi()["paths"]
    there = {(method.upper(), path) for path, methods in said.items() for method in methods}
    assert there <= MATRIX.keys()
    assert MATRIX.keys() - there == {("GET", "/openapi.json"), ("DELETE", "/v1/predictions")}

    async def main() -> None:
        secrets = {role: tokens.create(role, role, actor="ada")[1] for role in ROLES}
        async with asking(elsewhere) as client:
            for (method, path), takes in MATRIX.items():
                where = path.format(name="nobody", number=1)
                alone = (await client.request(method, where)).status_code
                assert (alone == 401) == (takes is not None), path
                for role, secret in secrets.items():
                    status = (await client.request(method, where, headers=bearer(secret))).status_code
                    refused = takes is not None and ROLES.index(role) < ROLES.index(takes)
                    assert ((status == 403), (status == 401)) == (refused, False), (path, role)

    run(main())


def test_without_a_token_nothing_but_health_answers_whatever_a_proxy_says(elsewhere: ServeConfig) -> None:
    async def main() -> None:
        said = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"}
        for client in ("127.0.0.1", "10.1.2.3"):
            async with asking(elsewhere, client) as asked:
                for path in ("/v1/status", "/v1/tasks", "/metrics", "/openapi.json", "/v2/models/a", "/nowhere"):
                    response = await asked.get(path, headers=said)
                    assert response.status_code == 401, path
                    assert response.headers["www-authenticate"] == "Bearer"
                assert (await asked.get("/healthz")).status_code == 200

    run(main())


def test_a_loopback_address_asks_for_no_token(config: ServeConfig, registry: Registry) -> None:
    async def main() -> None:
        async with asking(config, "10.1.2.3") as client:
            assert (await client.get("/v1/status", headers={"X-Forwarded-For": "10.9.9.9"})).status_code == 200

    run(main())


def test_what_is_no_valid_token_is_refused_and_not_quoted(elsewhere: ServeConfig, tokens: Tokens) -> None:
    secret = tokens.create("ci", "admin", actor="ada")[1]
    tokens.create("late", "viewer", actor="ada")
    wrong = (
        "Bearer",
        f"Basic {secret}",
        f"Bearer {secret}x",
        f"Bearer {secret[:-1]}",
        secret,
        "Bearer \xe9",
        "Bearer  ",
    )

    async def main() -> None:
        async with asking(elsewhere) as client:
            for value in wrong:
                response = await client.get("/v1/status", headers=[("Authorization", value.encode("latin-1"))])  # pyright: ignore[reportArgumentType] - bytes are what travels
                assert response.status_code == 401, value
                assert secret[3:-1] not in response.text + str(response.headers)
            assert (await client.get("/v1/status", headers={"authorization": f"bearer {secret}"})).status_code == 200

    run(main())


def test_a_refusal_is_made_before_a_byte_of_the_body_is_read(elsewhere: ServeConfig) -> None:
    async def main() -> None:
        app, sent = create_app(elsewhere), []

        async def receive() -> dict[str, object]:
            raise AssertionError("the body was read")

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        async with app.router.lifespan_context(app):
            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": [], "query_string": b""}
            await app(scope, receive, send)  # pyright: ignore[reportArgumentType] - plain ASGI
        assert sent[0]["status"] == 401
        assert json.loads(sent[1]["body"])["error"]["code"] == "auth"

    run(main())


def test_a_revoked_or_expired_token_lets_nobody_in_within_seconds(
    elsewhere: ServeConfig, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert access.POLL_S <= 2  # so that five seconds are enough for it and for a slow answer
    monkeypatch.setattr(access, "POLL_S", 0.02)

    async def main() -> None:
        revoked = tokens.create("ci", "viewer", actor="ada")[1]
        soon = datetime.now(UTC) + timedelta(seconds=0.4)
        expiring = tokens.create("short", "viewer", actor="ada", expires_at=soon)[1]
        async with followed(elsewhere) as keys:
            assert keys is not None
            assert keys.holder(revoked)
            assert keys.holder(expiring)
            later = tokens.create("later", "viewer", actor="ada")[1]
            await until(lambda: keys.holder(later) is not None)
            tokens.revoke("ci")
            await until(lambda: keys.holder(revoked) is None)
            await until(lambda: keys.holder(expiring) is None)
            assert keys.holder(later)

    run(main())


def test_while_the_registry_does_not_answer_its_last_tokens_count_for_a_time(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tokens.create("ci", "viewer", actor="ada")[1]
    answers: list[Callable[[], object]] = [tokens.by_hash]

    def ask() -> object:
        return answers[0]()

    def down() -> object:
        raise Unavailable("the database did not answer")

    async def main() -> None:
        keys = Keys(ask)  # pyright: ignore[reportArgumentType] - it answers like `by_hash`
        with pytest.raises(errors.Unavailable, match="no token can be checked"):
            keys.holder(secret)  # before the first answer nothing is known
        await keys.refresh()
        answers[0] = down
        await keys.refresh()
        assert keys.holder(secret)
        monkeypatch.setattr(access, "HELD_S", 0)
        await asyncio.sleep(0.01)
        with pytest.raises(errors.Unavailable):
            keys.holder(secret)
        answers[0] = tokens.by_hash
        monkeypatch.setattr(access, "HELD_S", 60)
        await keys.refresh()
        assert keys.holder(secret)

    run(main())


def test_a_server_whose_registry_is_down_at_start_lets_in_once_it_answers(
    elsewhere: ServeConfig, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tokens.create("ci", "viewer", actor="ada")[1]
    there = Path(elsewhere.database_url.removeprefix("sqlite:///"))
    monkeypatch.setattr(access, "POLL_S", 0.02)

    def lets_in(keys: Keys) -> bool:
        try:
            return keys.holder(secret) is not None
        except errors.Unavailable:
            return False

    async def main() -> None:
        away = there.with_name("away.db")
        tokens.close()
        there.rename(away)
        there.mkdir()  # no database can be opened or made where a folder is
        async with followed(elsewhere) as keys:
            assert keys is not None
            assert not lets_in(keys)
            there.rmdir()
            away.rename(there)
            await until(lambda: lets_in(keys))

    run(main())


@pytest.mark.parametrize("role", ROLES)
def test_listening_elsewhere_takes_a_token_that_is_valid(elsewhere: ServeConfig, tokens: Tokens, role: Role) -> None:
    check_guarded(replace(elsewhere, host="localhost"))
    tokens.create("old", role, actor="ada")
    check_guarded(elsewhere)
    tokens.revoke("old")
    with pytest.raises(errors.NotAllowed, match=r"0\.0\.0\.0 can be reached from elsewhere") as raised:
        check_guarded(elsewhere)
    assert "promptctl token create" in raised.value.hint
