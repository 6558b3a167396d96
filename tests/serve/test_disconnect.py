import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from methods import Artifact
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig
from serve.edge.disconnect import Disconnect

from .conftest import SENTIMENT, Publish
from .engines import run, until


class Log:
    """What became of the requests."""

    def __init__(self) -> None:
        self.begun = self.done = self.cancelled = 0
        self.go_on = asyncio.Event()

    async def work(self) -> None:
        self.begun += 1
        try:
            await self.go_on.wait()
            self.done += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@asynccontextmanager
async def listening(app: Callable[..., Awaitable[None]] | Starlette) -> AsyncIterator[int]:
    """The port of a uvicorn that serves it."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        await until(lambda: server.started)
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def request(body: bytes, *, path: str = "/", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + body


def app_of(log: Log) -> Starlette:
    async def answer(request: Request) -> Response:
        await request.body()
        await log.work()
        return JSONResponse({"ok": True})

    async def tell(request: Request) -> Response:
        await request.body()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await log.work()
            yield b"two"

        return StreamingResponse(pieces())

    app = Starlette(routes=[Route("/", answer, methods=["POST"]), Route("/tell", tell, methods=["POST"])])
    app.add_middleware(Disconnect)
    return app


def test_the_work_of_a_client_that_goes_is_cancelled_and_that_of_others_is_not() -> None:
    async def main() -> None:
        log = Log()
        async with listening(app_of(log)) as port:
            goes = await asyncio.open_connection("127.0.0.1", port)
            stays = await asyncio.open_connection("127.0.0.1", port)
            for _, writer in (goes, stays):
                writer.write(request(b"{}"))
            await until(lambda: log.begun == 2)
            goes[1].close()
            await until(lambda: log.cancelled == 1)
            log.go_on.set()
            assert await stays[0].readuntil(b'{"ok":true}')
            stays[1].write(request(b"{}"))  # the connection is good for another one
            assert await stays[0].readuntil(b'{"ok":true}')
            assert (log.begun, log.done, log.cancelled) == (3, 2, 1)
            stays[1].close()

    run(main())


def test_a_client_that_leaves_a_stream_or_half_a_body_leaves_nothing_behind() -> None:
    async def main() -> None:
        log = Log()
        async with listening(app_of(log)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(b"{}", path="/tell"))
            await reader.readuntil(b"one")
            writer.close()
            await until(lambda: log.cancelled == 1)
            _, half = await asyncio.open_connection("127.0.0.1", port)
            half.write(request(b"{", length=100))
            await asyncio.sleep(0.02)
            half.close()
            whole = await asyncio.open_connection("127.0.0.1", port)
            whole[1].write(request(b"{}", path="/tell"))
            log.go_on.set()
            assert b"two" in await whole[0].readuntil(b"0\r\n\r\n")
            whole[1].close()
            assert (log.begun, log.done) == (2, 1)

    run(main())


def test_rows_of_a_client_that_goes_leave_the_queue(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        publish("sentiment", make(SENTIMENT))
        registry.promote([Move("sentiment:1")], actor="ada")
        app = create_app(config)
        async with app.router.lifespan_context(app), listening(app) as port:
            work = app.state.engine.work
            held = threading.Event()
            work._thread.submit(held.wait, 20)
            try:
                rows = [{"prompt": "sentiment", "text": "the film was very good"}] * 250
                body = request(json.dumps({"inputs": rows}).encode(), path="/v1/predict")
                connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
                for _, writer in connections:
                    writer.write(body)
                await until(lambda: work.waiting_tokens > 3 * 250 * 7 - 2048)  # less what the batch that waits took
                for _, writer in connections:
                    writer.close()
                await until(lambda: work.waiting_tokens == 0)
                unheard = b'promptctl_requests_total{code="499",route="/v1/predict"} 3.0'
                await until(lambda: unheard in app.state.metrics.meter.text())
            finally:
                held.set()

    run(main())
