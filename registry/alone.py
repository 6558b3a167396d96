"""What only one process may do at a time: a lock that ends with the process that holds it, however that ends."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from .errors import Unavailable

ALONE_KEY = 0x70726F6D70746763
ALONE_WAIT_S = 300.0
ASK_AGAIN_S = 0.02


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Wait for the lock, and hold it: an advisory one on PostgreSQL, one on the folder of a SQLite file."""
    hold = _on_server if engine.dialect.name == "postgresql" else _on_folder
    with hold(engine):
        yield


@contextmanager
def _on_server(engine: Engine) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"key": ALONE_KEY}
        _wait(lambda: bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key)))
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


@contextmanager
def _on_folder(engine: Engine) -> Iterator[None]:
    descriptor = os.open(Path(engine.url.database or "").parent, os.O_RDONLY)
    try:
        _wait(lambda: _flock(descriptor))
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(take: Callable[[], bool]) -> None:
    until = time.monotonic() + ALONE_WAIT_S
    while not take():
        if time.monotonic() > until:
            raise Unavailable(
                f"another process has been taking blobs away for {ALONE_WAIT_S:.0f} s",
                hint="wait for promptctl gc to end, then try again",
            )
        time.sleep(ASK_AGAIN_S)
