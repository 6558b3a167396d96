"""The edge of the application: bodies that are too large, and errors that nobody foresaw."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Failed
from .failures import respond, too_large
from .schemas import MAX_BODY


class Edge:
    """Counts the body as it comes in, and answers 500 with an error's type alone: its message might quote a row."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if int(Headers(scope=scope).get("content-length") or 0) > MAX_BODY:
            return await too_large()(scope, receive, send)
        size, started = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
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
                await respond(failure)(scope, receive, send)
