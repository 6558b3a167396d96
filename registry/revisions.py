"""Which revision a database is at, and the way to the one this code needs."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, inspect, text

from .alone import alone
from .backup import backup, stamped
from .database import answering, connect, read_url
from .errors import IntegrityError, Unavailable
from .models import Base

VERSION_TABLE = "promptctl_alembic_version"
ADVISORY_LOCK = 0x70726F6D707463

logger = logging.getLogger(__name__)


def head() -> str:
    """The revision this code needs."""
    return max(_known())


def current(database_url: str) -> str | None:
    """The revision the database is at; None when it is empty or not there."""
    if _is_missing(database_url):
        return None
    engine = connect(database_url, NullPool)
    with answering(engine), engine.connect() as connection:
        return _current(connection)


def make_ready(database_url: str) -> None:
    """Upgrade a SQLite database that is behind; refuse any other that is not at the head."""
    revision = current(database_url)
    if revision == head():
        return
    if read_url(database_url).get_backend_name() == "sqlite":
        upgrade(database_url)
        return
    _refuse_newer(revision)
    raise Unavailable(
        f"the registry database is {f'at revision {revision}' if revision else 'empty'}; "
        f"this promptctl needs revision {head()}",
        hint="run: promptctl db upgrade",
    )


def upgrade(database_url: str) -> str:
    """Bring the database to the head, from however many processes at once; returns the head."""
    if current(database_url) == head():
        return head()
    with _copied(database_url), exclusive(database_url) as connection:
        _refuse_newer(_current(connection))
        _run_alembic(connection)
    return head()


def check(database_url: str) -> list[str]:
    """What differs between the tables of this code and those of the database; nothing, when all is well."""
    _quiet_alembic()
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = connect(database_url, NullPool)
    with answering(engine), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=alembic_options())
        return [_describe(difference) for difference in compare_metadata(context, Base.metadata)]


@contextmanager
def _copied(database_url: str) -> Iterator[None]:
    """On SQLite, alone with a backup of what is there; a server has backups of its own."""
    url = read_url(database_url)
    if url.get_backend_name() != "sqlite":
        yield
        return
    engine = connect(database_url, NullPool)
    with alone(engine):  # of several upgrades at once, one makes the backup
        revision = current(database_url)
        _refuse_newer(revision)
        if revision not in (None, head()):
            path = Path(url.database or "").with_name(stamped(database_url, revision))
            logger.warning("the registry database is upgraded; as it was, it is kept at %s", backup(database_url, path))
        yield


@contextmanager
def exclusive(database_url: str) -> Iterator[Connection]:
    """A transaction in which no other process migrates; it commits whole or leaves nothing."""
    engine = connect(database_url, NullPool).execution_options(write=True)
    with answering(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # a lock of the session, which ends with the connection
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
            with connection.begin():
                yield connection
        else:
            # only outside a transaction; on, rebuilding a table would delete the rows that refer to it
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                yield connection
                if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                    raise IntegrityError(f"the migration would leave {len(broken)} rows without their parents")


def alembic_options() -> dict[str, Any]:
    """How alembic looks at a database that it may share with others."""
    tables = Base.metadata.tables
    return {
        "version_table": VERSION_TABLE,
        "target_metadata": Base.metadata,
        "render_as_batch": True,
        "compare_type": True,
        "include_name": lambda name, kind, _parents: kind != "table" or name in tables,
    }


def _run_alembic(connection: Connection) -> None:
    _quiet_alembic()
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    command.upgrade(config, "head")


def _quiet_alembic() -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _known() -> set[str]:
    names = (path.name for path in files("migrations").joinpath("versions").iterdir())
    return {match[1] for name in names if (match := re.fullmatch(r"(\d{4})_\w+\.py", name))}


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in _known():
        raise Unavailable(
            f"the registry database is at revision {revision}; this promptctl knows revisions up to {head()}",
            hint="upgrade promptctl, or restore a backup of the database",
        )


def _is_missing(database_url: str) -> bool:
    url = read_url(database_url)
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _describe(difference: Any) -> str:
    while isinstance(difference, list):
        difference = difference[0]
    return " ".join(str(part) for part in difference if part is not None)
