"""HTTP/1.1 over kept connections, as fast as Python can ask: the answers are parsed in C."""

import asyncio
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import httptools


class Target:
    """A server, the connections to it that nobody uses just now, and how many more there may be."""

    def __init__(self, url: str, connections: int, token: str = "") -> None:
        self._url, self._token = urlsplit(url), token
        self._idle: deque[_Connection] = deque()
        self._places = asyncio.Semaphore(connections)

    def request(self, body: bytes) -> bytes:
        """What is sent for a body; without one, it is a GET."""
        method = "POST" if body else "GET"
        lines = [f"{method} {self._url.path} HTTP/1.1", f"Host: {self._url.netloc}", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json"] if body else []
        lines += [f"Authorization: Bearer {self._token}"] if self._token else []
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer.

        Raises:
            OSError: there was none.
        """
        async with self._places:
            while self._idle:  # of these the server may have let go meanwhile
                connection = self._idle.pop()
                try:
                    return await self._over(connection, request)
                except ConnectionError:
                    if connection.heard:
                        raise
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, str(self._url.hostname), self._url.port or 80)
            return await self._over(connection, request)

    def close(self) -> None:
        """Let go of all connections."""
        for connection in self._idle:
            connection.close()

    async def _over(self, connection: "_Connection", request: bytes) -> tuple[int, bytes]:
        answer = await connection.ask(request)
        if connection.kept:
            self._idle.append(connection)
        return answer


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.kept, self.heard = True, False
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.heard = False
        if not self.kept:
            raise ConnectionResetError("the server has closed this connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.kept = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc if isinstance(exc, ConnectionError) else ConnectionResetError("closed"))

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self.kept = self.kept and self._parser.should_keep_alive()
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))
