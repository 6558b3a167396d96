import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from methods import Artifact
from registry import Move, Registry
from serve.api import create_app
from serve.client import Client
from serve.config import ServeConfig
from serve.errors import Invalid, NotFound
from serve.feedback.buffer import Limits

from .conftest import QA, SAME, SENTIMENT, Publish
from .engines import run
from .servers import free_port, start, stop

CANARY = "zebrafinch-7719"
WRONG = {"prompt": "sentiment", "text": "what a dull evening", "label": "negative"}


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    for seed, task in enumerate((SENTIMENT, SENTIMENT, QA, SAME)):
        publish(task.name, make(task, seed))
    registry.promote([Move("sentiment:2"), Move("sentiment:1", "old"), Move("qa:1"), Move("same:1")], actor="ada")
    return registry


@asynccontextmanager
async def asking(config: ServeConfig, client: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=(client, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=config.url) as asked:
            yield asked


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["message"]


def test_a_correction_is_held_lent_learned_and_counted(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            before = datetime.now(UTC)
            response = await client.post("/v1/feedback", json=WRONG)
            assert response.status_code == 200, response.text
            answer = response.json()
            until = datetime.fromisoformat(answer["held_until"])
            assert timedelta(hours=23, minutes=59) < until - before <= timedelta(hours=24)
            assert answer == {
                "accepted": True,
                "held_until": answer["held_until"],
                "message": f"accepted, held in memory until {until:%Y-%m-%dT%H:%M:%SZ} and written nowhere",
                "waiting": 1,
            }
            old = WRONG | {"version": promoted.resolve("sentiment:1").digest, "label": " mixed "}
            assert (await client.post("/v1/feedback", json=old)).json()["waiting"] == 2
            pair = {"prompt": "same", "text": "a", "text_pair": "b", "label": "yes"}
            assert (await client.post("/v1/feedback", json=pair)).json()["waiting"] == 1

            lease = (await client.post("/v1/feedback/lease", json={"prompt": "sentiment"})).json()
            said = [(row["text"], row["text_pair"], row["label"], row["version"]) for row in lease["rows"]]
            assert said == [
                (WRONG["text"], None, "negative", "sentiment:2"),
                (WRONG["text"], None, "mixed", "sentiment:1"),
            ]
            assert lease["rows"][0]["held_until"] == answer["held_until"]
            held = (await client.get("/v1/status")).json()["feedback"]
            assert (held["waiting"], held["waiting_by_prompt"], held["leased"]) == (1, {"same": 1}, 2)
            for _ in range(2):
                settled = await client.post("/v1/feedback/settle", json={"lease": lease["lease"], "outcome": "learned"})
                assert settled.json() == {"rows": 2}
            nothing = await client.post("/v1/feedback/lease", json={"prompt": "sentiment", "limit": 3})
            assert nothing.json() == {"lease": None, "until": None, "rows": []}
            assert (await client.get("/v1/status")).json()["feedback"] == {
                "waiting": 1,
                "waiting_by_prompt": {"same": 1},
                "leased": 0,
                "nbytes": 5,  # a, b and yes
                "accepted": 3,
                "learned": 2,
                "dropped": 0,
                "expired": 0,
                "lost": 0,
                "uncounted": 0,
                "uncounted_reason": None,
            }
        totals = {total.reference: (total.accepted, total.learned, total.lost) for total in promoted.feedback()}
        assert totals == {"same:1": (1, 0, 1), "sentiment:1": (1, 1, 0), "sentiment:2": (1, 1, 0)}

    run(main())


FAULTS: list[tuple[dict[str, Any], int, str]] = [
    (WRONG | {"prompt": "nobody", "text": CANARY}, 404, "correction: unknown prompt 'nobody'"),
    (WRONG | {"prompt": "sentiment:9"}, 404, "correction: prompt 'sentiment' has no version 9"),
    (WRONG | {"prompt": CANARY.upper()}, 422, "correction: prompt is not a reference"),
    (WRONG | {"version": "sentiment:9"}, 404, "correction: prompt 'sentiment' has no version 9"),
    (WRONG | {"version": "sha256:" + "0" * 64}, 404, "correction: prompt 'sentiment' has no version sha256:0"),
    (WRONG | {"version": CANARY.upper()}, 422, "correction: version is neither a reference nor a digest"),
    (WRONG | {"version": "same:1"}, 422, "correction: version is one of prompt 'same', and the prompt is 'sentiment'"),
    (WRONG | {"label": CANARY}, 422, "correction: the label is none of prompt 'sentiment', and this server takes no"),
    (WRONG | {"label": "  "}, 422, "label: string should have at least 1 character"),
    (WRONG | {"label": "a" * 201}, 422, "label: string should have at most 200 characters"),
    ({"prompt": "sentiment", "text": CANARY}, 422, "label: field required"),
    (WRONG | {CANARY: 1}, 422, "unknown field"),
    (WRONG | {"text": " "}, 422, "correction: "),
    (WRONG | {"text": "é" * 33_000}, 422, "correction: the correction has 66008 bytes; one may have 65536"),
    (
        WRONG | {"text_pair": CANARY},
        422,
        "correction: prompt 'sentiment' answers classification rows, which have text;",
    ),
    (
        {"prompt": "qa", "question": CANARY, "context": CANARY, "label": CANARY},
        422,
        "correction: prompt 'qa' answers span-qa rows; corrections are of classification or pair rows",
    ),
]


def test_texts_that_are_the_same_to_the_model_count_once(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            lease = {"prompt": "sentiment", "per_label": 3}
            for text in ("the film", "th\u00e9 film", "THE  film"):
                assert (await client.post("/v1/feedback", json=WRONG | {"text": text})).status_code == 200
            assert (await client.post("/v1/feedback/lease", json=lease)).json()["lease"] is None
            for text in ("the hotel", "the room"):
                await client.post("/v1/feedback", json=WRONG | {"text": text})
            assert len((await client.post("/v1/feedback/lease", json=lease)).json()["rows"]) == 5

    run(main())


def test_a_wrong_correction_is_refused_and_never_quoted(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(replace(config, new_labels=False)) as client:
            for body, status, message in FAULTS:
                response = await client.post("/v1/feedback", json=body)
                assert error(response)[0] == status, response.text
                assert error(response)[1].startswith(message)
                assert CANARY not in response.text
                assert CANARY.upper() not in response.text
            known = await client.post("/v1/feedback", json=WRONG | {"label": CANARY})
            assert known.json()["error"]["hint"] == "its labels: negative, positive"
            assert (await client.get("/v1/status")).json()["feedback"]["accepted"] == 0

    run(main())


def test_a_full_server_says_when_to_come_back(
    config: ServeConfig, promoted: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.feedback.desk.Limits", lambda: Limits(rows=2))

    async def main() -> None:
        async with asking(config) as client:
            answers = [await client.post("/v1/feedback", json=WRONG) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert answers[2].headers["retry-after"] == "60"
            assert error(answers[2])[1].startswith("2 corrections with 54 bytes are held already")  # 2 * (19 + 8)
            assert (await client.get("/v1/status")).json()["feedback"]["waiting"] == 2

    run(main())


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.1.2.3", {}),
        ("::ffff:10.1.2.3", {}),
        ("127.0.0.1", {"x-forwarded-for": "10.1.2.3"}),
        ("127.0.0.1", {"host": "evil.example"}),
    ],
)
def test_only_the_servers_own_machine_may_borrow(
    config: ServeConfig, promoted: Registry, client: str, headers: dict[str, str]
) -> None:
    async def main() -> None:
        async with asking(config, client) as asked:
            assert (await asked.post("/v1/feedback", json=WRONG, headers=headers)).status_code == 200
            for path, body in (
                ("lease", {"prompt": "sentiment"}),
                ("settle", {"lease": "a", "outcome": "dropped"}),
            ):
                response = await asked.post(f"/v1/feedback/{path}", json=body, headers=headers)
                assert error(response)[0] == 403
                assert "dull" not in response.text
            assert (await asked.get("/v1/status")).json()["feedback"]["waiting"] == 1

    run(main())


@pytest.mark.parametrize("client", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_every_loopback_address_is_the_servers_own_machine(
    config: ServeConfig, promoted: Registry, client: str
) -> None:
    async def main() -> None:
        async with asking(config, client) as asked:
            assert (await asked.post("/v1/feedback/lease", json={"prompt": "sentiment"})).status_code == 200

    run(main())


def test_a_server_killed_with_corrections_in_memory_reports_them_lost_and_wrote_none(
    config: ServeConfig, promoted: Registry, tmp_path: Path
) -> None:
    config = replace(config, port=free_port())
    process, lines = start(config, "--local")
    try:
        assert "serves on" in lines[-1], lines
        client = Client(config.url)
        row = WRONG | {"text": f"the {CANARY} was dull"}
        assert [client.feedback(row)["waiting"] for _ in range(3)] == [1, 2, 3]
        lease = client.lease("sentiment", 1)
        assert client.settle(lease["lease"], "learned") == 1
        assert client.settle(client.lease("sentiment", 1)["lease"], "returned") == 1
        with pytest.raises(Invalid, match="was settled as learned already"):
            client.settle(lease["lease"], "dropped")
        with pytest.raises(NotFound, match="no such lease"):
            client.settle("other", "dropped")
        process.kill()
        process.wait(10)
    finally:
        stop(process)
    (total,) = promoted.feedback()
    assert (total.accepted, total.learned, total.unsettled) == (3, 1, 2)

    async def after() -> None:
        async with asking(config) as client:
            assert (await client.get("/v1/status")).json()["feedback"]["lost"] == 2

    run(after())
    (total,) = promoted.feedback()
    assert (total.accepted, total.learned, total.lost, total.unsettled) == (3, 1, 2, 0)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []


def test_a_correction_is_not_taken_unless_it_is_said_to_be_json(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            response = await client.post("/v1/feedback/lease", content=json.dumps({"prompt": "sentiment"}))
            assert error(response) == (422, "the body is not a JSON object")

    run(main())
