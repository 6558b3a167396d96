"""The HTTP application; it knows nothing of what runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as installed
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from . import report
from .answers import said
from .apis import documents, inference, openai
from .config import ServeConfig
from .edge.access import Access, followed
from .edge.disconnect import Disconnect
from .edge.edge import Edge
from .edge.failures import on_http_error, on_malformed_request, on_serve_error
from .edge.port import loops_back
from .engine.answered import Answered
from .engine.engine import PromptEngine
from .engine.opening import opened
from .errors import ServeError, Unavailable
from .feedback import api as feedback_api
from .feedback.desk import Opened, held_here
from .metrics.metered import looking, metered
from .metrics.meters import Meter, PrometheusMeter
from .routing import push
from .routing.push import Announce
from .schemas import FailureResponse, Health, Output, PredictRequest, PredictResponse, Status, TasksResponse


def _engine(request: Request) -> PromptEngine:
    return request.app.state.engine


Engine = Annotated[PromptEngine, Depends(_engine)]


def create_app(
    config: ServeConfig, desk: Opened = held_here, meter: Meter | None = None, announce: Announce | None = None
) -> FastAPI:
    """The application; its engine starts, and has everything loaded and warmed, before the first request.

    `desk` opens where corrections are held: in this process, or where several replicas share it.
    `meter` takes the numbers; without one, this process keeps them for `/metrics`.
    `announce` has every replica follow the registry at once; without it, this process is the only one.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            followed(config) as app.state.keys,
            opened(config, app.state.metrics) as app.state.engine,
            desk(config) as app.state.desk,
            looking(app, app.state.metrics),
        ):
            yield

    app = FastAPI(
        title="promptctl",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        summary="One backbone, every task, any version.",
        version=installed("promptctl"),
        generate_unique_id_function=lambda route: route.name,
        responses={"default": {"model": FailureResponse, "description": "What went wrong."}},
    )
    app.add_middleware(Disconnect)
    if not loops_back(config.host):
        app.add_middleware(Access)
    app.add_middleware(Edge)
    app.state.metrics = metered(app, meter or PrometheusMeter())
    app.add_exception_handler(ServeError, on_serve_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_malformed_request)
    app.post("/v1/predict", response_model_exclude_none=True)(predict)
    feedback_api.add_to(app, config.new_labels)
    push.add_to(app, announce)
    app.get("/v1/tasks")(tasks)
    app.get("/v1/status")(status)
    app.get("/healthz", response_model=Health)(healthz)
    inference.add_to(app)
    openai.add_to(app)
    documents.describe(app)
    return app


async def predict(body: PredictRequest, engine: Engine) -> PredictResponse:
    """Answer rows of any tasks and versions, in their order; if one of them is wrong, none is answered."""
    answers = await engine.predict(body.inputs)
    return PredictResponse(
        outputs=[_output(given.prompt, answer) for given, answer in zip(body.inputs, answers, strict=True)]
    )


async def tasks(engine: Engine) -> TasksResponse:
    """What is served, and which fields its rows need."""
    return TasksResponse(tasks=report.tasks(engine))


async def status(request: Request, engine: Engine, desk: feedback_api.TheDesk) -> Status:
    """How the server is."""
    return report.status(engine, await desk.status(), request.app.state.metrics.window.traffic())


async def healthz(engine: Engine) -> Health:
    """200 once everything promoted is loaded and warmed."""
    if not report.status(engine).ready:
        raise Unavailable("nothing is loaded yet", hint="try again in a second")
    return Health(ready=True)


def _output(asked: str, answered: Answered) -> Output:
    version, epoch = answered.version, answered.epoch
    found = Output(prompt=asked, version=version.reference, digest=version.digest, epoch=epoch, arm=answered.arm)
    return found.model_copy(update=said(answered.answer))
