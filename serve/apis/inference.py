"""The Open Inference Protocol, version 2: a prompt is a model, its versions are the model's.

A model is named as a reference is: `sentiment`, `sentiment@staging`, `sentiment:7`. Rows of one request are answered by
one version, which the answer's parameters name.
"""

from importlib.metadata import version as installed
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response

from registry import Version
from registry.references import PRODUCTION

from .. import report
from ..edge.failures import reading
from ..engine.engine import PromptEngine
from ..errors import Invalid, Unavailable
from .inference_answer import written
from .inference_schemas import (
    ErrorResponse,
    IndexEntry,
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from .tensor_answers import answers
from .tensor_rows import reads, rows
from .tensors import HEADER, split

EXTENSIONS = ["binary_tensor_data", "model_repository"]
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}},
        "application/octet-stream": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}},
    },
}
Name: TypeAlias = Annotated[str, Path(max_length=200, description="A reference.", examples=["sentiment"])]
Number: TypeAlias = Annotated[str, Path(pattern="^[1-9][0-9]{0,17}$", description="A version.", examples=["1"])]


def _engine(request: Request) -> PromptEngine:
    return request.app.state.engine


def _reference(request: Request) -> str:
    """What the path names, as a reference."""
    name, number = request.path_params["name"], request.path_params.get("number")
    if number is not None and ("@" in name or ":" in name):
        raise Invalid("the model names a version already", hint="leave /versions/ out, or ask by the bare name")
    return name if number is None else f"{name}:{number}"


def _by_name(name: Name) -> None:
    """The path of a model."""


def _by_number(name: Name, number: Number) -> None:
    """The path of one of its versions."""


Engine: TypeAlias = Annotated[PromptEngine, Depends(_engine)]
Reference: TypeAlias = Annotated[str, Depends(_reference)]


def add_to(app: FastAPI) -> None:
    """Add the routes; those of a model are there with its version in the path and without."""
    told: dict[str, Any] = {
        "tags": ["Open Inference Protocol"],
        "responses": {"default": {"model": ErrorResponse, "description": "What went wrong."}},
    }
    of_server = APIRouter(prefix="/v2", **told)
    of_server.get("", operation_id="inference_server")(server)
    of_server.get("/health/live", operation_id="inference_live")(live)
    of_server.get("/health/ready", operation_id="inference_ready")(ready)
    of_server.post("/repository/index", operation_id="inference_index")(index)
    app.include_router(of_server)
    for path, of, name in (("", _by_name, "model"), ("/versions/{number}", _by_number, "version")):
        router = APIRouter(prefix=f"/v2/models/{{name}}{path}", dependencies=[Depends(of)], **told)
        router.get("", operation_id=f"inference_{name}", response_model_exclude_none=True)(model)
        router.get("/ready", operation_id=f"inference_{name}_ready")(model_ready)
        router.post(
            "/infer",
            operation_id=f"inference_{name}_infer",
            response_model=InferResponse,
            openapi_extra={"requestBody": BODY},
        )(infer)
        app.include_router(router)


async def server() -> ServerMetadata:
    """What the server is."""
    return ServerMetadata(name="promptctl", version=installed("promptctl"), extensions=EXTENSIONS)


async def live() -> Live:
    """Whether the server answers."""
    return Live(live=True)


async def ready(engine: Engine) -> Ready:
    """Whether everything promoted is loaded and warmed."""
    if not report.status(engine).ready:
        raise Unavailable("nothing is loaded yet", hint="try again in a second")
    return Ready(ready=True)


async def index(engine: Engine) -> list[IndexEntry]:
    """Everything that an alias names; the alias is part of the name, unless it is production."""
    snapshot = engine.follower.snapshot
    failed = {one.alias: one for one in snapshot.refused if not one.candidate}
    there = [_entry(alias, one.version) for alias, one in snapshot.served.items() if alias not in failed]
    not_there = [_entry(alias, one.version, one.reason) for alias, one in failed.items()]
    return sorted(there + not_there, key=lambda entry: entry.name)


async def model(reference: Reference, engine: Engine) -> ModelMetadata:
    """What a prompt reads and answers."""
    served = await engine.served(reference)
    version, task = served.version, served.task
    loaded = {
        one.version.number for one in engine.follower.snapshot.served.values() if one.version.name == version.name
    }
    return ModelMetadata(
        name=version.name,
        versions=[str(number) for number in sorted(loaded | {version.number})],
        platform="promptctl",
        inputs=reads(task),
        outputs=answers(task),
        parameters={"kind": task.kind, "version": version.reference, "digest": version.digest},
    )


async def model_ready(reference: Reference, engine: Engine) -> ModelReady:
    """Whether a prompt's version can answer; it is loaded for this where it is not."""
    served = await engine.served(reference)
    return ModelReady(name=served.version.name, ready=True)


async def infer(request: Request, reference: Reference, engine: Engine) -> Response:
    """Answer the rows that the tensors hold; if one of them is wrong, none is answered."""
    head, behind = split(await request.body(), request.headers.get(HEADER))
    with reading():
        asked = InferRequest.model_validate_json(head)
        given = rows(reference, asked, behind)
    answered = await engine.predict(given)
    return written(asked, answered)


def _entry(alias: tuple[str, str], version: Version, reason: str = "") -> IndexEntry:
    name, channel = alias
    state = "UNAVAILABLE" if reason else "READY"
    asked = name if channel == PRODUCTION else f"{name}@{channel}"
    return IndexEntry(name=asked, version=str(version.number), state=state, reason=reason)
