"""`/openapi.json`: what FastAPI makes of the routes, and the bodies that a route reads itself."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from .inference_schemas import InferRequest

REFERENCES = "#/components/schemas/{model}"


def describe(app: FastAPI) -> None:
    """Have the application's document name the schemas of those bodies too, and sum up routes by what they do."""
    made = app.openapi
    _, found = models_json_schema([(InferRequest, "validation")], ref_template=REFERENCES)

    def openapi() -> dict[str, Any]:
        document = made()
        document["components"]["schemas"] |= found["$defs"]
        for operation in (one for path in document["paths"].values() for one in path.values()):
            operation["summary"] = operation.get("description", operation["summary"]).split(".")[0]
        return document

    app.openapi = openapi  # the way that FastAPI documents
