"""`promptctl serve --local`: the application on uvicorn, in this process."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from . import report
from .api import create_app
from .config import ServeConfig
from .edge.connection import Connection
from .edge.port import listen

DRAIN_S = 30
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(config: ServeConfig, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is running; `say` is told what the server waits for.

    Raises:
        ServeError, RegistryError, MethodError: the address, the registry or the backbone is not to be had.
    """
    with listen(config) as listening, asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(config, listening, say))


async def _serve(config: ServeConfig, listening: socket, say: Callable[[str], None]) -> None:
    app = create_app(config)
    say(f"loading the backbone {config.backbone} and every promoted prompt")
    # The lifespan runs here and not in uvicorn, which would log its errors instead of raising them.
    async with app.router.lifespan_context(app):
        engine = app.state.engine
        for line in report.greeting(config.url, report.status(engine), len(report.tasks(engine))):
            say(line)
        settings = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        await _Server(settings).serve(sockets=[listening])
        say("stopped")


class _Server(uvicorn.Server):
    """A uvicorn that takes a signal as the request to finish, and does not raise it again afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
