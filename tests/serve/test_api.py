import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from methods import KINDS, Artifact, Backbone
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig
from serve.engine.fields import FIELDS, PARTS, first_row
from serve.errors import Overloaded
from serve.schemas import Input

from .conftest import NAMES, QA, QUIZ, SAME, SENTIMENT, STORY, WORDED, Publish
from .engines import run

CANARY = "zebrafinch-7719"
GOOD = {"prompt": "sentiment", "text": "the film was very good"}


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    publish("sentiment", make(SENTIMENT, 1))
    publish("qa", make(QA, 2))
    publish("same", make(SAME, 3, form="prefix"))
    publish("sentiment", make(SENTIMENT, 4))
    registry.promote([Move("sentiment:1"), Move("qa:1"), Move("same:1"), Move("sentiment:2", "staging")], actor="ada")
    return registry


@asynccontextmanager
async def asking(config: ServeConfig) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def said(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    return response.status_code, error["code"], error["message"]


def test_a_mixed_request_names_what_answered(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        context = "the bridge was red"
        inputs = [
            GOOD,
            {"prompt": "qa", "question": "which colour", "context": context},
            {"prompt": "same", "text": "a book", "text_pair": "a film"},
            GOOD | {"prompt": "sentiment@staging"},
        ]
        async with asking(config) as client:
            response = await client.post("/v1/predict", json={"inputs": inputs})
        assert response.status_code == 200, response.text
        first, second, third, fourth = response.json()["outputs"]
        assert first == {
            "prompt": "sentiment",
            "version": "sentiment:1",
            "digest": promoted.resolve("sentiment:1").digest,
            "epoch": promoted.epoch(),
            "label": max(first["scores"], key=first["scores"].get),
            "scores": {label: pytest.approx(first["scores"][label]) for label in SENTIMENT.labels},
        }
        assert sum(first["scores"].values()) == pytest.approx(1)
        assert set(second) == {"prompt", "version", "digest", "epoch", "answer", "start", "end", "score"}
        assert context[second["start"] : second["end"]] == second["answer"]
        assert third["label"] in SAME.labels
        assert (fourth["prompt"], fourth["version"]) == ("sentiment@staging", "sentiment:2")

    run(main())


def test_one_request_mixes_every_kind(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    kinds = (SENTIMENT, SAME, NAMES, QA, QUIZ)
    for seed, task in enumerate(kinds):
        publish(task.name, make(task, seed))
    registry.promote([Move(f"{task.name}:1") for task in kinds], actor="ada")

    async def main() -> None:
        inputs = [
            GOOD,
            {"prompt": "same", "text": "a book", "text_pair": "a film"},
            {"prompt": "names", "tokens": ["the", "old", "bridge"]},
            {"prompt": "qa", "question": "which colour", "context": "the bridge was red"},
            {"prompt": "quiz", "text": "the tower was", "choices": ["red", "very quiet", "blue"]},
        ]
        async with asking(config) as client:
            response = await client.post("/v1/predict", json={"inputs": inputs})
            served = (await client.get("/v1/tasks")).json()["tasks"]
        assert response.status_code == 200, response.text
        about = {"prompt", "version", "digest", "epoch"}
        said = [set(output) - about for output in response.json()["outputs"]]
        assert said == [
            {"label", "scores"},
            {"label", "scores"},
            {"tags", "scores"},
            {"answer", "start", "end", "score"},
            {"choice", "index", "scores"},
        ]
        _, _, names, _, quiz = response.json()["outputs"]
        assert len(names["tags"]) == len(names["scores"]) == 3
        assert set(names["tags"]) <= set(NAMES.labels)
        assert all(0.5 <= score <= 1 for score in names["scores"])  # the better of two labels
        assert quiz["index"] == max(range(3), key=quiz["scores"].__getitem__)
        assert quiz["choice"] == inputs[4]["choices"][quiz["index"]]
        assert sum(quiz["scores"]) == pytest.approx(1)
        assert {task["prompt"]: task["fields"] for task in served} == {
            "names": ["tokens"],
            "qa": ["question", "context"],
            "quiz": ["text", "choices"],
            "same": ["text", "text_pair"],
            "sentiment": ["text"],
        }

    run(main())


def test_a_decoder_generates_beside_its_other_tasks(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    speaker: Backbone,
) -> None:
    kinds = (STORY, WORDED, NAMES)
    for seed, task in enumerate(kinds):
        publish(task.name, make(task, seed, backbone=speaker))
    registry.promote([Move(f"{task.name}:1") for task in kinds], actor="ada")

    async def main() -> None:
        inputs = [
            {"prompt": "story", "text": "the old bridge"},
            {"prompt": "worded", "text": "the old bridge"},
            {"prompt": "names", "tokens": ["the", "old", "bridge"]},
            {"prompt": "story", "text": "the old bridge", "text_pair": "the mayor"},
        ]
        async with asking(replace(config, backbone=speaker.fingerprint.name)) as client:
            response = await client.post("/v1/predict", json={"inputs": inputs})
            _, story, _ = (await client.get("/v1/tasks")).json()["tasks"]
        assert response.status_code == 200, response.text
        first, worded, names, last = response.json()["outputs"]
        assert set(first) == {"prompt", "version", "digest", "epoch", "text"}
        assert first["text"] != last["text"]
        assert worded["scores"].keys() == set(SENTIMENT.labels)
        assert len(names["tags"]) == 3
        assert (story["kind"], story["fields"], story["optional"]) == ("generation", ["text"], ["text_pair"])

    run(main())


def test_every_kind_has_fields_and_a_first_row() -> None:
    assert set(FIELDS) == set(KINDS)
    assert {part for fields in FIELDS.values() for part in (*fields.needed, *fields.optional)} == set(PARTS)
    assert set(Input.model_fields) == {"prompt", "key", *PARTS}
    assert first_row(QUIZ).choices == ("warm", "cold")


def test_one_input_alone_is_a_request_of_one(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            alone = await client.post("/v1/predict", json=GOOD)
            listed = await client.post("/v1/predict", json={"inputs": [GOOD]})
        assert alone.status_code == listed.status_code == 200
        assert alone.json() == listed.json()

    run(main())


def test_tasks_and_status_say_what_is_served(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            tasks = (await client.get("/v1/tasks")).json()["tasks"]
            status = (await client.get("/v1/status")).json()
            health = await client.get("/healthz")
        assert [task["prompt"] for task in tasks] == ["qa", "same", "sentiment"]
        assert tasks[2] == {
            "prompt": "sentiment",
            "kind": "classification",
            "labels": ["negative", "positive"],
            "fields": ["text"],
            "optional": [],
            "aliases": {"production": "sentiment:1", "staging": "sentiment:2"},
        }
        assert tasks[0]["fields"] == ["question", "context"]
        assert (status["ready"], status["stale_since"], status["refused"]) == (True, None, [])
        assert status["epoch"] == promoted.epoch()
        assert status["resident_bytes"] > 0
        assert (health.status_code, health.json()) == (200, {"ready": True})

    run(main())


REQUEST_FAULTS: list[tuple[Any, int, str]] = [
    (b'{"prompt": "' + CANARY.encode(), 422, "the body is not a JSON object"),
    (b"\xff\xfe" + CANARY.encode(), 422, "the body is not a JSON object"),
    ([CANARY], 422, "the body is not a JSON object"),
    ({"inputs": []}, 422, "inputs: list should have at least 1 item after validation, not 0"),
    ({"inputs": [GOOD] * 257}, 422, "inputs: list should have at most 256 items after validation, not 257"),
    ({"inputs": [GOOD, CANARY]}, 422, "row 1: "),
    ({"inputs": [GOOD, {"text": CANARY}]}, 422, "row 1: prompt: field required"),
    ({"inputs": [GOOD, GOOD | {CANARY: 1}]}, 422, "row 1: unknown field; an input has prompt, text, text_pair,"),
    ({"inputs": [GOOD], CANARY: 1}, 422, "unknown field"),
    ({"inputs": [GOOD, GOOD | {"text": {"a": CANARY}}]}, 422, "row 1: text: input should be a valid string"),
    (GOOD | {"text": CANARY + "a" * 65_536}, 422, "row 0: text: string should have at most 65536 characters"),
    (GOOD | {"text": CANARY + "\ud800"}, 422, "row 0: text: "),
    (GOOD | {"prompt": CANARY.upper()}, 422, "row 0: prompt is not a reference"),
    ({"inputs": [GOOD, {"prompt": "qa", "text": CANARY}]}, 422, "row 1: prompt 'qa' answers span-qa rows"),
    ({"inputs": [GOOD, {"prompt": "qa", "tokens": [CANARY]}]}, 422, "row 1: prompt 'qa' answers span-qa rows"),
    (GOOD | {"text_pair": CANARY}, 422, "row 0: prompt 'sentiment' answers classification rows, which have text;"),
    ({"prompt": "names", "tokens": CANARY}, 422, "row 0: tokens: input should be a valid tuple"),
    ({"prompt": "names", "tokens": [CANARY, 7]}, 422, "row 0: tokens: input should be a valid string"),
    ({"prompt": "names", "tokens": []}, 422, "row 0: tokens: tuple should have at least 1 item"),
    ({"prompt": "names", "tokens": [CANARY] * 4097}, 422, "row 0: tokens: tuple should have at most 4096 items"),
    ({"prompt": "quiz", "text": "a", "choices": [CANARY]}, 422, "row 0: choices: tuple should have at least 2 items"),
    ({"prompt": "quiz", "text": "a", "choices": [CANARY] * 65}, 422, "row 0: choices: tuple should have at most 64"),
    ({"inputs": [GOOD, {"prompt": "nobody", "text": CANARY}]}, 404, "row 1: unknown prompt 'nobody'"),
    ({"inputs": [GOOD, {"prompt": "same", "text": CANARY, "text_pair": " "}]}, 422, "row 1: a row of task 'same'"),
]


@pytest.mark.parametrize(("body", "status", "message"), REQUEST_FAULTS)
def test_a_wrong_request_is_named_by_its_row_and_never_quoted(
    config: ServeConfig, promoted: Registry, body: Any, status: int, message: str
) -> None:
    async def main() -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with asking(config) as client:
            headers = {"content-type": "application/json"}
            response = await client.post("/v1/predict", content=content, headers=headers)
        got, code, text = said(response)
        assert (got, code) == (status, "invalid" if status == 422 else "not_found")
        assert text.startswith(message)
        assert CANARY not in response.text
        assert CANARY.upper() not in response.text

    run(main())


def test_a_body_that_does_not_say_it_is_json_is_told_so(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            response = await client.post("/v1/predict", content=json.dumps(GOOD))
        assert said(response) == (422, "invalid", "the body is not a JSON object")
        assert "content-type: application/json" in response.json()["error"]["hint"]

    run(main())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(config: ServeConfig, promoted: Registry, chunked: bool) -> None:
    async def main() -> None:
        body = json.dumps(GOOD | {"context": "a" * (1 << 20)}).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 1 << 16):
                yield body[start : start + (1 << 16)]

        async with asking(config) as client:
            headers = {"content-type": "application/json"}
            response = await client.post("/v1/predict", content=pieces() if chunked else body, headers=headers)
            assert said(response) == (413, "invalid", "the request is over 1048576 bytes")
            assert (await client.post("/v1/predict", json=GOOD)).status_code == 200

    run(main())


def test_other_paths_and_methods_answer_in_the_same_shape(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            assert said(await client.get("/v3"))[:2] == (404, "not_found")
            assert said(await client.get("/v1/predict"))[:2] == (405, "invalid")
            assert (await client.get("/docs")).status_code == 404

    run(main())


def test_overload_says_when_to_come_back(
    config: ServeConfig, promoted: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.work.work.QUEUE_TOKENS", 400)

    async def main() -> None:
        many = {"inputs": [GOOD | {"text": "the film was very good " * 4}] * 16}  # 16 * 22 tokens
        async with asking(config) as client:
            answers = await asyncio.gather(*(client.post("/v1/predict", json=many) for _ in range(30)))
        turned_away = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in turned_away)
        assert said(turned_away[0])[1] == Overloaded.code

    run(main())


def test_an_unforeseen_error_names_its_type_alone(
    config: ServeConfig, promoted: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with asking(config) as client:

            def broken(*_: object) -> None:
                raise KeyError(CANARY)

            monkeypatch.setattr("serve.engine.engine.row", broken)
            response = await client.post("/v1/predict", json=GOOD)
        assert said(response) == (500, "run_failed", "the server failed on this request (KeyError)")

    run(main())
    assert CANARY not in "".join(capfd.readouterr())


def test_a_version_that_chokes_on_a_row_says_so_without_quoting_it(
    config: ServeConfig, promoted: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with asking(config) as client:

            def broken(*_: object) -> None:
                raise RuntimeError(CANARY)

            monkeypatch.setattr("serve.work.work.predict", broken)
            response = await client.post("/v1/predict", json={"inputs": [GOOD, GOOD]})
        assert said(response) == (500, "run_failed", "row 0: sentiment:1 failed on it (RuntimeError)")

    run(main())


def test_a_server_without_its_backbone_does_not_start(config: ServeConfig, registry: Registry) -> None:
    from methods import BackboneNotFound

    async def main() -> None:
        with pytest.raises(BackboneNotFound, match="no backbone"):
            async with asking(replace(config, backbone="/nowhere")):
                pytest.fail("it started")

    run(main())
