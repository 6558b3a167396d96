"""The registry's database: SQLite in a file, or PostgreSQL; readers see one snapshot, writers wait in line."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Pool, Select, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from .alone import alone
from .columns import Base
from .errors import Invalid, Unavailable
from .guard import write_open

LOCK_WAIT_S = 30
CONNECT_WAIT_S = 10
Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Database:
    """The two ways to speak to the database; no session leaves them."""

    engine: Engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one snapshot and changes nothing."""
        engine = self.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with answering(self.engine), Session(engine) as session:
            yield session

    @contextmanager
    def ask(self) -> Iterator[Connection]:
        """A connection for a question or two, each of which sees what is committed by then."""
        with answering(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(single=True)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Time in which nobody else takes blobs away."""
        with answering(self.engine), alone(self.engine):
            yield

    @contextmanager
    def write(self, *, lasting: bool = True) -> Iterator[Session]:
        """A transaction that commits at the end of the block, or leaves nothing.

        One that need not be `lasting` may be lost with the machine's power, until a lasting one has followed it.
        """
        engine = self.engine.execution_options(write="lasting" if lasting else "passing")
        with answering(self.engine), write_open(), Session(engine) as session, session.begin():
            if not lasting and engine.dialect.name == "postgresql":
                session.execute(text("SET LOCAL synchronous_commit = off"))
            yield session


def locked(session: Session, query: Select[Row], make: Callable[[], Row]) -> Row:
    """The one row a query finds, locked until the transaction ends; made when there is none yet."""
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    if (row := session.scalar(query)) is not None:
        return row
    with suppress(IntegrityError), session.begin_nested():
        session.add(make())
    return session.scalars(query).one()


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Say in one line that the database did not answer."""
    try:
        yield
    except DatabaseError as error:
        if type(error) not in (OperationalError, DatabaseError):
            raise
        reason = str(error.orig).strip().partition("\n")[0]
        raise Unavailable(
            f"the registry database {engine.url.render_as_string()} did not answer: {reason}",
            hint="check PROMPTCTL_DATABASE_URL and that the database is up",
        ) from error


def connect(database_url: str, pool: type[Pool] | None = None) -> Engine:
    """An engine for the URL; a SQLite file that is not there is made."""
    url = read_url(database_url)
    if url.get_backend_name() == "postgresql":
        arguments = {"connect_timeout": CONNECT_WAIT_S}
        return create_engine(url, poolclass=pool, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)
    path = Path(url.database or "")
    if not path.exists():
        try:
            _create_file(path)
        except OSError as error:
            raise Unavailable(f"cannot make the registry database {path}: {error.strerror}") from error
    engine = create_engine(url, poolclass=pool, hide_parameters=True, connect_args={"timeout": LOCK_WAIT_S})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def read_url(database_url: str) -> URL:
    """The URL, if it names a database the registry can live in."""
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = URL.create("unreadable")
    match url.get_backend_name():
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite" if url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite")
    raise Invalid(
        f"the registry cannot live in a {url.get_backend_name()} database at that URL",
        hint="use sqlite:////absolute/path.db or postgresql://user@host/name",
    )


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _begin does
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("single"):  # each question is a transaction of its own
        return
    if writes := options.get("write"):
        connection.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if writes == 'passing' else 'FULL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_file(path: Path) -> None:
    """Make the file in WAL mode, for its owner alone, and whole at once: two processes may both try."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(beside)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        os.unlink(beside)
