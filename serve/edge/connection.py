"""Connections of uvicorn that end where a request's head is too long, or does not come to its end in time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 1 << 16  # bytes of a request before its body
HEAD_S = 10.0  # from the connection, or a request's first byte, to the end of its head


class Connection(HttpToolsProtocol):
    """uvicorn bounds neither, so that whoever sends headers without end, or none, would hold memory and sockets."""

    _head = 0  # bytes that came of it
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request, and not for long."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; nothing more of a head that is too long."""
        waiting = self._timer
        super().data_received(data)
        if waiting is None or waiting is not self._timer:
            return  # at least a part of it belongs to something else
        self._head += len(data)
        if self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("Request header fields too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._end()
        self._timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._head, self._timer = 0, None
