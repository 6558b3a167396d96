"""Errors as HTTP answers: the shape of the path's protocol, the fitting status, and never a value the caller sent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ..errors import Invalid, NotFound, Overloaded, ServeError
from ..schemas import MAX_BODY, Failure, FailureResponse, FeedbackRequest, Input, field_names

STATUS = {
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_found": HTTPStatus.NOT_FOUND,
    "auth": HTTPStatus.UNAUTHORIZED,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "integrity": HTTPStatus.SERVICE_UNAVAILABLE,
    "run_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "overloaded": HTTPStatus.TOO_MANY_REQUESTS,
    "timed_out": HTTPStatus.GATEWAY_TIMEOUT,
}

INFERENCE = ("/v2",)  # paths of the Open Inference Protocol
OPENAI = ("/v1/models", "/v1/completions", "/v1/chat", "/v1/embeddings")

NOT_JSON = Invalid("the body is not a JSON object", hint="send one, with content-type: application/json")


def respond(error: ServeError, status: int | None = None, *, path: str = "") -> JSONResponse:
    """The answer for one of our errors, in the shape of the protocol that the path belongs to."""
    status = status or STATUS[error.code]
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and _under(path, INFERENCE + OPENAI):
        status = HTTPStatus.BAD_REQUEST
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Overloaded) else None
    return JSONResponse(body(error, status, path), status, headers)


def body(error: ServeError, status: int, path: str) -> Mapping[str, object]:
    """An error as the protocol of the path words it."""
    text = f"{error}; {error.hint}" if error.hint else str(error)
    if _under(path, INFERENCE):
        return {"error": text}
    if _under(path, OPENAI):
        return {"error": {"message": text, "type": _type(status), "param": None, "code": error.code}}
    return FailureResponse(error=Failure(code=error.code, message=str(error), hint=error.hint)).model_dump()


def too_large(path: str = "") -> JSONResponse:
    """The answer to a body over the limit."""
    error = Invalid(f"the request is over {MAX_BODY} bytes", hint="send fewer or shorter inputs at a time")
    return respond(error, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, path=path)


@contextmanager
def reading() -> Iterator[None]:
    """Have what a body's own schema refuses answered like what FastAPI refuses."""
    try:
        yield
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from None


async def on_serve_error(request: Request, error: Exception) -> JSONResponse:
    """An error that the engine raised."""
    assert isinstance(error, ServeError)
    return respond(error, path=request.url.path)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """No such path, no such method, a body that is too large."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large(path)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # bytes that are no text
        return respond(NOT_JSON, path=path)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return respond(NotFound("no such path", hint="see /openapi.json"), path=path)
    said = Invalid(HTTPStatus(error.status_code).phrase.lower(), hint="see /openapi.json")
    answer = respond(said, error.status_code, path=path)
    answer.headers.update(error.headers or {})
    return answer


async def on_malformed_request(request: Request, error: Exception) -> JSONResponse:
    """A body that is not JSON or not a request: the first fault, by its place and never by its value."""
    assert isinstance(error, RequestValidationError)
    fault, path = error.errors()[0], request.url.path
    if fault["type"] == "json_invalid" or fault["loc"] == ("body",):
        return respond(NOT_JSON, path=path)
    ours = not _under(path, INFERENCE + OPENAI)
    return respond(Invalid(_said(fault) if ours else _said_elsewhere(fault)), path=path)


def _said(fault: Any) -> str:
    place, kind = fault["loc"][1:], fault["type"]
    where = f"row {place[1]}: " if len(place) > 1 else ""
    if kind == "extra_forbidden":  # the last part of its place is what the caller wrote
        more = ", ".join(name for name in FeedbackRequest.model_fields if name not in Input.model_fields)
        return f"{where}unknown field; an input has {', '.join(Input.model_fields)}; a correction also {more}"
    what = f"{place[2]}: " if len(place) > 2 else f"{place[0]}: " if len(place) == 1 else ""
    return f"{where}{what}{_wrong(fault)}"


def _said_elsewhere(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown field; /openapi.json lists those that there are"
    known, parts = field_names(), []
    for part in fault["loc"][1:]:
        if isinstance(part, str) and part not in known:  # a key that the caller wrote, or a type's name
            break
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return f"{''.join(parts).lstrip('.')}: {_wrong(fault)}".removeprefix(": ")


def _wrong(fault: Any) -> str:
    return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _type(status: int) -> str:
    """OpenAI's word for an error of this status."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)
