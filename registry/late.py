"""A database that need not be there yet: it is opened when it is first asked, and asked again until it opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from . import revisions
from .database import Database, connect
from .errors import Unavailable


class LateDatabase:
    """Speaks to the database like `Database`, and makes none where there is none."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._opening = Lock()
        self._database: Database | None = None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one snapshot and changes nothing."""
        with self._opened().read() as session:
            yield session

    @contextmanager
    def write(self, *, lasting: bool = True) -> Iterator[Session]:
        """A transaction that commits at the end of the block, or leaves nothing."""
        with self._opened().write(lasting=lasting) as session:
            yield session

    @contextmanager
    def ask(self) -> Iterator[Connection]:
        """A connection for a question or two."""
        with self._opened().ask() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Time in which nobody else takes blobs away."""
        with self._opened().alone():
            yield

    def close(self) -> None:
        """Close every connection."""
        if self._database is not None:
            self._database.close()

    def _opened(self) -> Database:
        with self._opening:
            if self._database is None:
                if revisions.current(self._url) is None:
                    raise Unavailable(
                        "the registry database is not there, or is empty",
                        hint="bring it back, or restore it from a backup",
                    )
                revisions.make_ready(self._url)
                self._database = Database(connect(self._url))
            return self._database
