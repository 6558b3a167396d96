"""Errors as HTTP answers: one shape, the fitting status, and never a value that the caller sent as a row."""

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .errors import Invalid, NotFound, Overloaded, ServeError
from .schemas import MAX_BODY, Failure, FailureResponse, FeedbackRequest, Input

STATUS = {
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_found": HTTPStatus.NOT_FOUND,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "integrity": HTTPStatus.SERVICE_UNAVAILABLE,
    "run_failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "overloaded": HTTPStatus.TOO_MANY_REQUESTS,
}

NOT_JSON = Invalid("the body is not a JSON object", hint="send one, with content-type: application/json")


def respond(error: ServeError, status: int | None = None) -> JSONResponse:
    """The answer for one of our errors."""
    body = FailureResponse(error=Failure(code=error.code, message=str(error), hint=error.hint))
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Overloaded) else None
    return JSONResponse(body.model_dump(), status or STATUS[error.code], headers)


def too_large() -> JSONResponse:
    """The answer to a body over the limit."""
    error = Invalid(f"the request is over {MAX_BODY} bytes", hint="send fewer or shorter inputs at a time")
    return respond(error, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


async def on_serve_error(_: Request, error: Exception) -> JSONResponse:
    """An error that the engine raised."""
    assert isinstance(error, ServeError)
    return respond(error)


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """No such path, no such method, a body that is too large."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large()
    if error.status_code == HTTPStatus.BAD_REQUEST:  # bytes that are no text
        return respond(NOT_JSON)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return respond(NotFound("no such path", hint="see /openapi.json"))
    return respond(Invalid(HTTPStatus(error.status_code).phrase.lower(), hint="see /openapi.json"), error.status_code)


async def on_malformed_request(_: Request, error: Exception) -> JSONResponse:
    """A body that is not JSON or not a request: the first fault, by its place and never by its value."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    if fault["type"] == "json_invalid" or fault["loc"] == ("body",):
        return respond(NOT_JSON)
    return respond(Invalid(_said(fault)))


def _said(fault: Any) -> str:
    place, kind = fault["loc"][1:], fault["type"]
    where = f"row {place[1]}: " if len(place) > 1 else ""
    if kind == "extra_forbidden":  # the last part of its place is what the caller wrote
        more = ", ".join(name for name in FeedbackRequest.model_fields if name not in Input.model_fields)
        return f"{where}unknown field; an input has {', '.join(Input.model_fields)}; a correction also {more}"
    what = f"{place[2]}: " if len(place) > 2 else f"{place[0]}: " if len(place) == 1 else ""
    return f"{where}{what}{fault['msg'][:1].lower()}{fault['msg'][1:]}"
