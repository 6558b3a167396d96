"""Requests whose client has gone away: their work is cancelled, so that rows which nobody waits for are not run."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORT_S = 0.02  # from the end of the body; an answer that comes sooner is not worth a task that listens


class Disconnect:
    """Listens for the end of the connection from soon after the end of the body until the end of the answer."""

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
        self._waiting: asyncio.TimerHandle | None = None  # from the end of the body on
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        if self._waiting is not None:
            self._begin()
            await self.lost.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._waiting = asyncio.get_running_loop().call_later(SHORT_S, self._begin)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.leave()
        await self._send(message)

    def leave(self) -> None:
        """Listen no longer."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _begin(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.lost.set()
        self.work.cancel()
