"""The application on a real uvicorn at a free port, in a thread, for clients that are not ours."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from serve.api import create_app
from serve.config import ServeConfig
from serve.edge.connection import Connection


@contextmanager
def live(config: ServeConfig) -> Iterator[str]:
    """Where it answers, as host:port."""
    quiet: dict[str, Any] = {"log_config": None, "log_level": "critical", "access_log": False}
    settings = uvicorn.Config(create_app(config), port=0, http=Connection, ws="none", **quiet)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
