"""Routes for this machine alone."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse

from ..errors import Invalid, ServeError
from .failures import respond
from .port import loops_back

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # what a proxy on this machine says of a client that is not


class Elsewhere(Invalid):
    """A client of another machine asks for what is only for this one."""


def nearby(may: str, hint: str) -> Callable[[Request], None]:
    """A dependency that refuses clients elsewhere; also a web page, which reaches this machine under its own name."""

    def check(request: Request) -> None:
        ours = request.client is not None and loops_back(request.client.host)
        named = loops_back(request.url.hostname or "")
        if not (ours and named) or any(name in request.headers for name in FORWARDED):
            raise Elsewhere(f"only clients on the server's own machine, at its loopback address, may {may}", hint=hint)

    return check


async def on_elsewhere(_: Request, error: Exception) -> JSONResponse:
    """403: the request is right, and comes from the wrong place."""
    assert isinstance(error, ServeError)
    return respond(error, HTTPStatus.FORBIDDEN)
