from collections import Counter
from collections.abc import Callable

from openapi_spec_validator import validate

from methods import Artifact
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig

from .conftest import SENTIMENT, Publish
from .fuzz import fuzz
from .live import live


def test_the_document_is_a_valid_one_and_shows_how_to_ask(config: ServeConfig) -> None:
    document = create_app(config).openapi()
    validate(document)
    schemas = document["components"]["schemas"]
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"]
        assert "default" in one["responses"], one["operationId"]
        body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if body is not None:
            assert schemas[body["$ref"].rsplit("/", 1)[1]]["examples"], one["operationId"]


def test_whatever_is_asked_is_answered_as_the_document_says(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("sentiment", make(SENTIMENT, 1))
    registry.promote([Move("sentiment:1")], actor="ada")
    total: Counter[int] = Counter()
    with live(config) as address:
        for _, counted in fuzz(address, 4):
            total += counted
    assert total[200] > 0
    assert max(total) < 500
