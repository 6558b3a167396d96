"""The application, measured: every request is counted at its edge; `/metrics`, where this process keeps the numbers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import report
from .meters import Meter, PrometheusMeter
from .metrics import Metrics
from .observer import Observer
from .tracing import traced
from .traffic import Window

PUT_S = 5.0  # between two looks at the state, where nobody asks for it
UNHEARD = 499  # the code of a request whose client went away before an answer began, after nginx
ELSEWHERE = "other"  # the route of a request that has none


class Metered:
    """Counts requests by route and status, those too that nothing behind it let in."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app, self._observer = app, observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, code = time.perf_counter(), UNHEARD

        async def watched(message: Message) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except BaseException:
            code = 500 if code == UNHEARD else code
            raise
        finally:
            route = getattr(scope.get("route"), "path", ELSEWHERE)
            self._observer.requested(route, code, time.perf_counter() - started)


def metered(app: FastAPI, meter: Meter) -> Metrics:
    """Measure an application that has no other middleware to add."""
    metrics = Metrics(meter, Window(), traced())
    app.add_middleware(Metered, observer=metrics)
    if isinstance(meter, PrometheusMeter):

        async def text(request: Request) -> Response:
            await _look(request.app, metrics)
            return Response(meter.text(), media_type=CONTENT_TYPE_LATEST)

        app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)(text)
    return metrics


@asynccontextmanager
async def looking(app: FastAPI, metrics: Metrics) -> AsyncIterator[None]:
    """Look at the application's state every few seconds, where nobody scrapes it."""
    if isinstance(metrics.meter, PrometheusMeter):
        yield
        return
    task = asyncio.create_task(_keep_looking(app, metrics))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_looking(app: FastAPI, metrics: Metrics) -> None:
    while True:
        await asyncio.gather(_look(app, metrics), return_exceptions=True)  # the desk may not answer
        await asyncio.sleep(PUT_S)


async def _look(app: FastAPI, metrics: Metrics) -> None:
    engine = app.state.engine
    metrics.state(report.status(engine, await app.state.desk.status()), engine.follower.snapshot)
