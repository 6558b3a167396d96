"""What a client says of itself in headers, and what becomes of it."""

from collections.abc import Callable

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from methods import Artifact
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig
from serve.edge.edge import Edge
from serve.edge.headers import STEERING

from .conftest import SENTIMENT, Publish
from .engines import run


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(dict(Headers(scope=scope)))(scope, receive, send)


def asked(headers: dict[str, str] | list[tuple[bytes, bytes]]) -> tuple[httpx.Response, dict[str, str]]:
    """The answer, and the headers that the application was given."""
    answers: list[httpx.Response] = []

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Edge(echo)), base_url="http://test") as http:
            answers.append(await http.get("/", headers=headers))

    run(main())
    return answers[0], answers[0].json()


@pytest.mark.parametrize("name", ["a", "7f9c-2B", "x" * 64])
def test_a_strict_request_id_is_kept_and_sent_back(name: str) -> None:
    answer, seen = asked({"X-Request-Id": name})
    assert answer.headers["x-request-id"] == seen["x-request-id"] == name


@pytest.mark.parametrize(
    "name", [b"", b"x" * 65, b"the film", b"a_b", b"a.b", b"a\xc3\xa4", b'{"a":1}', b"\xff", b"a\tb"], ids=repr
)
def test_any_other_request_id_is_replaced(name: bytes) -> None:
    answer, seen = asked([(b"x-request-id", name)])
    made = answer.headers["x-request-id"]
    assert made == seen["x-request-id"] != name.decode("latin-1")
    assert len(made) == 32
    assert int(made, 16) >= 0
    assert made != asked([])[0].headers["x-request-id"]


def test_headers_that_steer_a_cluster_go_no_further() -> None:
    given = {name.title(): "zebrafinch" for name in STEERING}
    _, seen = asked(given | {"X-Other": "kept"})
    assert "zebrafinch" not in seen.values()
    assert seen["x-other"] == "kept"


def test_every_answer_of_a_server_has_an_id(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("sentiment", make(SENTIMENT, 1))
    registry.promote([Move("sentiment:1")], actor="ada")

    async def main() -> None:
        app = create_app(config)
        named, transport = {"x-request-id": "mine"}, httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test", headers=named) as http,
        ):
            for path, status in {"/healthz": 200, "/v1/status": 200, "/nowhere": 404, "/v1/predict": 405}.items():
                answer = await http.get(path)
                assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine")
            answer = await http.post("/v1/predict", content=b"x" * (1 << 21))
            assert (answer.status_code, answer.headers["x-request-id"]) == (413, "mine")

    run(main())
