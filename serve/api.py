"""The HTTP application; it knows nothing of what runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from methods import Answer, Chosen, Classified, Generated, Span, Tagged

from . import feedback_api, report
from .config import ServeConfig
from .desk import Opened, held_here
from .edge import Edge
from .engine import Answered, PromptEngine, opened
from .errors import ServeError, Unavailable
from .failures import on_http_error, on_malformed_request, on_serve_error, respond
from .schemas import Output, PredictRequest, PredictResponse, Status, TasksResponse


def _engine(request: Request) -> PromptEngine:
    return request.app.state.engine


Engine = Annotated[PromptEngine, Depends(_engine)]


def create_app(config: ServeConfig, desk: Opened = held_here) -> FastAPI:
    """The application; its engine starts, and has everything loaded and warmed, before the first request.

    `desk` opens where corrections are held: in this process, or where several replicas share it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(config) as app.state.engine, desk(config) as app.state.desk:
            yield

    app = FastAPI(
        title="promptctl",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(Edge)
    app.add_exception_handler(ServeError, on_serve_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_malformed_request)
    app.post("/v1/predict", response_model_exclude_none=True)(predict)
    feedback_api.add_to(app, config.new_labels)
    app.get("/v1/tasks")(tasks)
    app.get("/v1/status")(status)
    app.get("/healthz", response_model=None)(healthz)
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


async def status(engine: Engine, desk: feedback_api.TheDesk) -> Status:
    """How the server is."""
    return report.status(engine, await desk.status())


async def healthz(engine: Engine) -> JSONResponse:
    """200 once everything promoted is loaded and warmed."""
    if report.status(engine).ready:
        return JSONResponse({"ready": True})
    return respond(Unavailable("nothing is loaded yet", hint="try again in a second"))


def _output(asked: str, answered: Answered) -> Output:
    version, epoch = answered.version, answered.epoch
    found = Output(prompt=asked, version=version.reference, digest=version.digest, epoch=epoch)
    return found.model_copy(update=_said(answered.answer))


def _said(answer: Answer) -> dict[str, object]:
    match answer:
        case Classified(label, scores):
            return {"label": label, "scores": scores}
        case Chosen(choice, index, scores):
            return {"choice": choice, "index": index, "scores": list(scores)}
        case Tagged(tags, scores):
            return {"tags": list(tags), "scores": list(scores)}
        case Span(text, start, end, score):
            return {"answer": text, "start": start, "end": end, "score": score}
        case Generated(text):
            return {"text": text}
