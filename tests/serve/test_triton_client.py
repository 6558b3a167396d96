"""NVIDIA's `tritonclient`, as it comes, against the application on uvicorn."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from methods import Artifact
from registry import Move, Registry
from serve.config import ServeConfig

from .conftest import NAMES, SENTIMENT, Publish
from .live import live

TEXTS = ["the film was very good", "ein sehr schöner Film", "a slow train"]


@pytest.fixture
def promoted(registry: Registry, make: Callable[..., Artifact], publish: Publish) -> Registry:
    publish("sentiment", make(SENTIMENT, 1))
    publish("sentiment", make(SENTIMENT, 2))
    publish("names", make(NAMES, 3))
    registry.promote([Move("sentiment:1"), Move("sentiment:2", "staging"), Move("names:1")], actor="ada")
    return registry


@pytest.fixture
def address(config: ServeConfig, promoted: Registry) -> Iterator[str]:
    with live(config) as address:
        yield address


def array(result: Any, name: str) -> np.ndarray[Any, Any]:
    found = result.as_numpy(name)
    assert found is not None
    return found


def test_tritonclient_works_with_its_defaults(address: str, promoted: Registry) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    with InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("sentiment")
        assert client.is_model_ready("sentiment@staging")
        assert client.is_model_ready("sentiment", "2")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()["name"] == "promptctl"
        metadata = client.get_model_metadata("sentiment")
        assert metadata["outputs"][1]["parameters"]["labels"] == ["negative", "positive"]
        assert [one["name"] for one in client.get_model_repository_index()] == [
            "names",
            "sentiment",
            "sentiment@staging",
        ]

        text = InferInput("text", [3], "BYTES")
        text.set_data_from_numpy(np.array([one.encode() for one in TEXTS], dtype=np.object_))
        binary = client.infer("sentiment", [text], request_id="7")
        assert binary.get_response()["id"] == "7"
        assert binary.get_response()["parameters"]["digest"] == promoted.resolve("sentiment:1").digest
        scores, labels = array(binary, "scores"), array(binary, "label")
        assert (scores.dtype, scores.shape) == (np.float32, (3, 2))
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
        assert [one.decode() for one in labels] == [SENTIMENT.labels[index] for index in scores.argmax(1)]

        text.set_data_from_numpy(np.array(TEXTS, dtype=np.object_), binary_data=False)
        wanted = [InferRequestedOutput("scores", binary_data=False)]
        plain = client.infer("sentiment", [text], outputs=wanted)
        np.testing.assert_allclose(array(plain, "scores"), scores, atol=1e-6)
        assert plain.as_numpy("label") is None
        pinned = client.infer("sentiment", [text], model_version="2")
        assert pinned.get_response()["model_version"] == "2"
        assert np.abs(array(pinned, "scores") - scores).max() > 1e-4  # another version, other answers

        tokens = InferInput("tokens", [2, 3], "BYTES")
        tokens.set_data_from_numpy(np.array([[b"the", b"old", b"bridge"], [b"a", b"train", b""]], dtype=np.object_))
        tagged = client.infer("names", [tokens])
        assert array(tagged, "tags")[1, 2] == b""
        assert set(array(tagged, "tags").flat) <= {b"B-place", b"O", b""}

        with pytest.raises(InferenceServerException, match="unknown prompt 'nobody'") as refused:
            client.infer("nobody", [text])
        assert refused.value.status() == "404"
        asynchronous = [client.async_infer("sentiment", [text]) for _ in range(4)]
        for one in asynchronous:
            np.testing.assert_allclose(array(one.get_result(), "scores"), scores, atol=1e-6)
