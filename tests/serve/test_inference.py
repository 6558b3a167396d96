import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from methods import KINDS, Artifact, Backbone
from registry import Move, Registry
from serve.api import create_app
from serve.apis.tensor_answers import ANSWERS, DATATYPES
from serve.apis.tensors import HEADER, pack, unpack
from serve.config import ServeConfig

from .conftest import NAMES, QA, QUIZ, SAME, SENTIMENT, STORY, Publish
from .engines import run

CANARY = "zebrafinch-7719"
TEXTS = ["the film was very good", "a slow train", "the hotel was bad"]


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    for seed, task in enumerate((SENTIMENT, SAME, NAMES, QA, QUIZ)):
        publish(task.name, make(task, seed))
    publish("sentiment", make(SENTIMENT, 9))
    names = ("sentiment", "same", "names", "qa", "quiz")
    moves = [Move(f"{name}:1") for name in names]
    registry.promote([*moves, Move("sentiment:2", "staging")], actor="ada")
    return registry


@asynccontextmanager
async def asking(config: ServeConfig) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    async with app.router.lifespan_context(app), client:
        yield client


def tensor(name: str, data: list[Any], *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": list(shape) or [len(data)], "datatype": "BYTES", "data": data}


def outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {one["name"]: one for one in response.json()["outputs"]}


def test_rows_are_answered_as_predict_answers_them(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            body = {"id": "42", "inputs": [tensor("text", TEXTS)]}
            response = await client.post("/v2/models/sentiment/infer", json=body)
            rows = [{"prompt": "sentiment", "text": text} for text in TEXTS]
            ours = (await client.post("/v1/predict", json={"inputs": rows})).json()["outputs"]
        told, digest = response.json(), promoted.resolve("sentiment:1").digest
        assert (told["id"], told["model_name"], told["model_version"]) == ("42", "sentiment", "1")
        assert told["parameters"] == {"version": "sentiment:1", "digest": digest, "epoch": promoted.epoch()}
        assert response.headers["x-promptctl-version"] == f"sentiment:1 {digest}"
        found = outputs(response)
        assert found["label"] == {
            "name": "label",
            "datatype": "BYTES",
            "shape": [3],
            "data": [one["label"] for one in ours],
        }
        assert (found["scores"]["datatype"], found["scores"]["shape"]) == ("FP32", [3, 2])
        expected = [score for one in ours for score in one["scores"].values()]
        assert found["scores"]["data"] == pytest.approx(expected, abs=1e-6)

    run(main())


INPUTS: dict[str, list[dict[str, Any]]] = {
    "same": [tensor("text", ["a book", "a film"]), tensor("text_pair", ["a film", "a film"], 2, 1)],
    "names": [tensor("tokens", [["the", "old", "bridge"], ["a", "train", ""]], 2, 3)],
    "qa": [tensor("question", ["which colour"] * 2), tensor("context", ["the bridge was red", "it was blue"])],
    "quiz": [tensor("text", ["the tower was"] * 2), tensor("choices", ["red", "blue", "very", "quiet"], 2, 2)],
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "same": [{"text": "a book", "text_pair": "a film"}, {"text": "a film", "text_pair": "a film"}],
    "names": [{"tokens": ["the", "old", "bridge"]}, {"tokens": ["a", "train"]}],
    "qa": [
        {"question": "which colour", "context": "the bridge was red"},
        {"question": "which colour", "context": "it was blue"},
    ],
    "quiz": [
        {"text": "the tower was", "choices": ["red", "blue"]},
        {"text": "the tower was", "choices": ["very", "quiet"]},
    ],
}
ABOUT = {"prompt", "version", "digest", "epoch"}


def test_every_kind_has_its_tensors(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            for name in INPUTS:
                await check(client, name)

    async def check(client: httpx.AsyncClient, name: str) -> None:
        found = outputs(await client.post(f"/v2/models/{name}/infer", json={"inputs": INPUTS[name]}))
        rows = [row | {"prompt": name} for row in ROWS[name]]
        ours = (await client.post("/v1/predict", json={"inputs": rows})).json()["outputs"]
        said = (await client.get(f"/v2/models/{name}")).json()
        assert list(found) == [one["name"] for one in said["outputs"]]
        assert {one["name"] for one in said["inputs"]} == {one["name"] for one in INPUTS[name]}
        for one in said["outputs"]:
            got = found[one["name"]]
            assert got["datatype"] == one["datatype"]
            assert len(got["shape"]) == len(one["shape"])
            values = np.array(got["data"]).reshape(got["shape"])
            for row, expected in zip(values, ours, strict=True):
                wanted = expected[one["name"]]
                wanted = list(wanted.values()) if isinstance(wanted, dict) else wanted
                if isinstance(wanted, list):  # a short row of tags ends in "" and the score 0
                    filler = "" if got["datatype"] == "BYTES" else 0.0
                    wanted = wanted + [filler] * (len(row) - len(wanted))
                if got["datatype"] == "FP32":
                    np.testing.assert_allclose(row, wanted, atol=1e-6)
                else:
                    np.testing.assert_array_equal(row, wanted)

    run(main())


def test_a_decoder_generates(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish, speaker: Backbone
) -> None:
    publish("story", make(STORY, 0, backbone=speaker))
    registry.promote([Move("story:1")], actor="ada")

    async def main() -> None:
        async with asking(replace(config, backbone=speaker.fingerprint.name)) as client:
            body = {"inputs": [tensor("text", ["the old bridge", "a mayor"])]}
            found = outputs(await client.post("/v2/models/story/infer", json=body))
            both = {"inputs": [*body["inputs"], tensor("text_pair", ["the mayor", "a book"])]}
            with_pair = outputs(await client.post("/v2/models/story/infer", json=both))
            said = (await client.get("/v2/models/story")).json()
        assert found["text"]["shape"] == [2]
        assert found["text"]["data"] != with_pair["text"]["data"]
        assert [(one["name"], one.get("parameters")) for one in said["inputs"]] == [
            ("text", None),
            ("text_pair", {"optional": True}),
        ]

    run(main())


def test_bytes_go_in_and_come_out_behind_the_json(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        raw = pack(text.encode() for text in TEXTS)
        sized = {"binary_data_size": len(raw)}
        head = json.dumps(
            {
                "inputs": [{"name": "text", "shape": [3, 1], "datatype": "BYTES", "parameters": sized}],
                "outputs": [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "label"}],
            }
        ).encode()
        async with asking(config) as client:
            headers = {HEADER: str(len(head))}
            response = await client.post("/v2/models/sentiment/infer", content=head + raw, headers=headers)
            plain = outputs(await client.post("/v2/models/sentiment/infer", json={"inputs": [tensor("text", TEXTS)]}))
            everything = json.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor("text", TEXTS)]})
            binary = await client.post("/v2/models/sentiment/infer", content=everything)
        size = int(response.headers[HEADER])
        told = json.loads(response.content[:size])
        scores, label = told["outputs"]
        assert scores == {"name": "scores", "datatype": "FP32", "shape": [3, 2], "parameters": {"binary_data_size": 24}}
        values = np.frombuffer(response.content[size:], "<f4")
        np.testing.assert_allclose(values, plain["scores"]["data"], atol=1e-6)
        assert label["data"] == plain["label"]["data"]
        assert binary.headers["content-type"] == response.headers["content-type"] == "application/octet-stream"
        size = int(binary.headers[HEADER])
        first, _ = json.loads(binary.content[:size])["outputs"]
        labels = binary.content[size : size + first["parameters"]["binary_data_size"]]
        assert unpack(labels, "label") == plain["label"]["data"]

    run(main())


def test_the_server_and_its_models_say_what_they_are(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:

            async def told(path: str) -> Any:
                response = await client.get(path)
                assert response.status_code == 200, response.text
                return response.json()

            server = await told("/v2")
            assert (server["name"], server["extensions"]) == ("promptctl", ["binary_tensor_data", "model_repository"])
            assert await told("/v2/health/live") == {"live": True}
            assert await told("/v2/health/ready") == {"ready": True}
            assert await told("/v2/models/sentiment/ready") == {"name": "sentiment", "ready": True}
            assert await told("/v2/models/sentiment/versions/2/ready") == {"name": "sentiment", "ready": True}
            model = await told("/v2/models/sentiment")
            digest = promoted.resolve("sentiment:1").digest
            labels = {"labels": ["negative", "positive"]}
            assert model == {
                "name": "sentiment",
                "versions": ["1", "2"],
                "platform": "promptctl",
                "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
                "outputs": [
                    {"name": "label", "datatype": "BYTES", "shape": [-1], "parameters": labels},
                    {"name": "scores", "datatype": "FP32", "shape": [-1, 2], "parameters": labels},
                ],
                "parameters": {"kind": "classification", "version": "sentiment:1", "digest": digest},
            }
            index = (await client.post("/v2/repository/index")).json()
            assert [(one["name"], one["version"], one["state"]) for one in index if "sentiment" in one["name"]] == [
                ("sentiment", "1", "READY"),
                ("sentiment@staging", "2", "READY"),
            ]

    run(main())


def test_a_version_is_named_in_every_way(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            for path in ("sentiment@staging", "sentiment%40staging", "sentiment:2", "sentiment/versions/2"):
                response = await client.post(f"/v2/models/{path}/infer", json={"inputs": [tensor("text", TEXTS)]})
                said = (await client.get(f"/v2/models/{path}")).json()
                assert response.json()["parameters"]["version"] == said["parameters"]["version"] == "sentiment:2"
                assert (response.json()["model_name"], response.json()["model_version"]) == ("sentiment", "2")

    run(main())


def test_every_kind_has_answers_of_known_types() -> None:
    assert set(ANSWERS) == set(KINDS)
    assert {name for names in ANSWERS.values() for name in names} == set(DATATYPES)


FAULTS: list[tuple[Any, str]] = [
    (b'{"inputs": "' + CANARY.encode(), "the body is not a JSON object"),
    (b"\xff" + CANARY.encode(), "the body is not a JSON object"),
    ([CANARY], "the body is not a JSON object"),
    ({"inputs": []}, "inputs: list should have at least 1 item"),
    ({"inputs": [{"name": "text"}]}, "inputs[0].shape: field required"),
    ({"inputs": [tensor("text", [CANARY]) | {"parameters": {CANARY: []}}]}, "inputs[0].parameters: "),
    ({"inputs": [tensor("text", [CANARY]) | {"shape": [CANARY]}]}, "inputs[0].shape[0]: input should be a valid int"),
    ({"inputs": [tensor("text", [CANARY]) | {"shape": [-1]}]}, "inputs[0].shape[0]: input should be greater than"),
    ({"inputs": [tensor("text", [CANARY]) | {"shape": [10**30]}]}, "inputs[0].shape[0]: input should be less than"),
    ({"inputs": [tensor("text", [CANARY]) | {"shape": [2**62, 2**62]}]}, "input 'text' has 1 elements, and its shape"),
    ({"inputs": [tensor("text", [CANARY]) | {"shape": [1, 1, 1]}]}, "inputs[0].shape: tuple should have at most 2"),
    ({"inputs": [tensor("text", [CANARY], 1) | {"datatype": CANARY}]}, "input 'text' is not of datatype BYTES"),
    ({"inputs": [tensor(CANARY, ["a"])]}, "input 0 is no field of a row"),
    ({"inputs": [tensor("text", [CANARY]), tensor("text", [CANARY])]}, "input 'text' is there twice"),
    ({"inputs": [tensor("text", [CANARY, "b"]), tensor("text_pair", ["b"])]}, "the inputs have not the same number"),
    ({"inputs": [tensor("text", [CANARY] * 257)]}, "a request has 1 to 256 rows, this one has 257"),
    ({"inputs": [tensor("text", [], 0)]}, "a request has 1 to 256 rows, this one has 0"),
    ({"inputs": [tensor("text", [CANARY, 7])]}, "input 'text' has an element that is not a text"),
    ({"inputs": [tensor("text", [CANARY, "b"], 1, 2)]}, "input 'text' has a shape other than [rows] or [rows, 1]"),
    ({"inputs": [tensor("tokens", [CANARY])]}, "input 'tokens' has a shape other than [rows, tokens]"),
    ({"inputs": [tensor("text", [CANARY + "a" * 65_536])]}, "text: string should have at most 65536 characters"),
    ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, "input 'text' has no data"),
    (
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]},
        "input 'text' has 9 bytes, and 0 are left of the body",
    ),
    ({"inputs": [tensor("question", [CANARY])]}, "row 0: prompt 'sentiment' answers classification rows"),
    ({"inputs": [tensor("text", ["a", " "])]}, "row 1: a row of task 'sentiment' has an empty text"),
    ({"inputs": [tensor("text", ["a"])], "outputs": [{"name": CANARY}]}, "output 0 is none of label, scores"),
    (
        {"inputs": [tensor("text", ["a"])], "outputs": [{"name": "label", "parameters": {"classification": 1}}]},
        "output 'label' is sent as it is",
    ),
]


def test_a_wrong_request_is_refused_and_never_quoted(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            for body, message in FAULTS:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                response = await client.post("/v2/models/sentiment/infer", content=content)
                assert response.status_code == 400, message
                assert response.json().keys() == {"error"}
                assert response.json()["error"].startswith(message)
                assert CANARY not in response.text

    run(main())


def test_wrong_bytes_behind_the_json_are_refused(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:

            async def said(raw: bytes, size: int, header: str = "") -> str:
                parameters = {"binary_data_size": size}
                one = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": parameters}
                head = json.dumps({"inputs": [one]}).encode()
                headers = {HEADER: header or str(len(head))}
                response = await client.post("/v2/models/sentiment/infer", content=head + raw, headers=headers)
                assert response.status_code == 400, response.text
                assert CANARY not in response.text
                return response.json()["error"]

            canary = pack([CANARY.encode()])
            assert await said(canary, len(canary) - 1) == "input 'text' ends in the middle of an element"
            assert await said(canary + b"a", len(canary)) == "1 bytes are behind the last tensor"
            assert await said(pack([b"\xff" + CANARY.encode()]), len(canary) + 1) == "input 'text' is not UTF-8"
            for wrong in ("-1", "1e9", "99999999999", CANARY):
                assert await said(canary, len(canary), wrong) == f"{HEADER} is no length of a part of this body"

    run(main())


WRONG_PATHS = [
    ("/v2/models/nobody", 404, "model: unknown prompt 'nobody'"),
    ("/v2/models/nobody/ready", 404, "model: unknown prompt 'nobody'"),
    ("/v2/models/sentiment/versions/7", 404, "model: "),
    ("/v2/models/sentiment/versions/x", 400, "number: string should match pattern"),
    ("/v2/models/sentiment@staging/versions/1", 400, "the model names a version already"),
    (f"/v2/models/{CANARY.upper()}", 400, "model: prompt is not a reference"),
    ("/v2/nothing", 404, "no such path"),
    ("/v2/models/sentiment/infer", 405, "method not allowed"),
]


def test_other_paths_answer_in_the_protocols_form(config: ServeConfig, promoted: Registry) -> None:
    async def main() -> None:
        async with asking(config) as client:
            for path, status, message in WRONG_PATHS:
                response = await client.get(path)
                assert response.status_code == status, path
                assert response.json().keys() == {"error"}
                assert response.json()["error"].startswith(message)
                assert CANARY.upper() not in response.text

    run(main())
