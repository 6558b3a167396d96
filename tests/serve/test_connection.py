import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from serve.edge.connection import LONGEST_HEAD, Connection

from .engines import run


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass


async def answer(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def connected() -> tuple[Connection, Wire]:
    config = uvicorn.Config(answer, log_config=None, lifespan="off")
    config.load()
    connection, wire = Connection(config, ServerState(), {}), Wire()
    connection.connection_made(wire)
    return connection, wire


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_head_that_comes_behind_a_long_body_is_not_taken_for_a_long_one() -> None:
    async def main() -> None:
        connection, wire = connected()
        body = b"a" * 4 * LONGEST_HEAD
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.data_received(post + body[:9])
        connection.data_received(body[9:] + GET[:20])
        connection.data_received(GET[20:])
        await asyncio.sleep(0.05)
        assert wire.written.count(b"HTTP/1.1 200") == 2
        assert not wire.closed
        connection.connection_lost(None)

    run(main())


def test_a_head_is_as_long_as_it_may_and_no_longer() -> None:
    async def main() -> None:
        for size, answers in ((LONGEST_HEAD // 2, b"HTTP/1.1 200"), (2 * LONGEST_HEAD, b"HTTP/1.1 400")):
            connection, wire = connected()
            head = GET[:-2] + b"X-More: " + b"a" * size + b"\r\n\r\n"
            for start in range(0, len(head), 4096):
                if not wire.closed:
                    connection.data_received(head[start : start + 4096])
            await asyncio.sleep(0.05)
            assert wire.written.startswith(answers)
            assert wire.closed == (b"400" in answers)
            connection.connection_lost(None)

    run(main())
