"""Requests whose client has gone away: their work is cancelled, so that rows which nobody waits for are not run."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Disconnect:
    """Listens for the end of the connection from the end of the body until the end of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on; where it is lost, stop its work, since nobody hears an answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        connection = _Connection(receive, send)
        try:
            await self._app(scope, connection.receive, connection.send)
        except asyncio.CancelledError:
            if not connection.lost.is_set():
                raise
            connection.work.uncancel()
        finally:
            connection.leave()


class _Connection:
    """One request's messages, and the task that works on it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.work, self.lost = task, asyncio.Event()
        self._receive, self._send = receive, send
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        if self._watch is not None:
            await self.lost.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._watch = asyncio.create_task(self._listen())
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.leave()
        await self._send(message)

    def leave(self) -> None:
        """Listen no longer."""
        if self._watch is not None:
            self._watch.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.lost.set()
        self.work.cancel()
