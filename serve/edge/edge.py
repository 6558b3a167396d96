"""The edge of the application: bodies that are too large, errors that nobody foresaw, and the ids of requests."""

import asyncio
import secrets
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Failed
from ..schemas import MAX_BODY
from .failures import respond, too_large
from .headers import REQUEST_ID, STEERING, STRICT

BODY_S = 30.0  # from a request's head to the end of its body
REPLACED = {name.encode() for name in (*STEERING, REQUEST_ID)}


class Edge:
    """Counts and times a body as it comes in, and answers 500 with an error's type alone: a message might quote a row.

    An answer carries the request's X-Request-Id, or a new one where that could be more than an id; none is logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        send = _named(scope, send)
        if int(Headers(scope=scope).get("content-length") or 0) > MAX_BODY:
            return await too_large(scope["path"])(scope, receive, send)
        size, started = 0, False
        deadline: float | None = asyncio.get_running_loop().time() + BODY_S

        async def counted() -> Message:
            nonlocal size, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT) from None
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if not message.get("more_body"):
                deadline = None
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except Exception as error:  # noqa: BLE001 - a server that logs it would store a user's text
            if not started:
                failure = Failed(f"the server failed on this request ({type(error).__name__})")
                await respond(failure, path=scope["path"])(scope, receive, send)


def _named(scope: Scope, send: Send) -> Send:
    """Leave the request without what could steer or name more than itself; its answer gets its id."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    name = given if STRICT.fullmatch(given) else secrets.token_hex(16)
    kept = [(key, value) for key, value in scope["headers"] if key.lower() not in REPLACED]

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[REQUEST_ID] = name
        await send(message)

    scope["headers"] = [*kept, (REQUEST_ID.encode(), name.encode())]
    return named
