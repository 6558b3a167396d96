"""A copy of the database, of one moment, while others write."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from .database import read_url
from .errors import Unavailable
from .files.fresh import fresh

TOOL = "pg_dump"
SUFFIXES = {"sqlite": "db", "postgresql": "dump"}


def backup(database_url: str, path: Path) -> Path:
    """Copy the database to a file that is not there yet, whole or not at all, for its owner alone.

    A copy of SQLite is a database like any other; that of PostgreSQL is an archive for pg_restore.

    Raises:
        Conflict: there is a file.
        Unavailable: there is no database, no room, or no pg_dump.
    """
    url = read_url(database_url)
    with fresh(path) as copy:
        (_dump if url.get_backend_name() == "postgresql" else _vacuum)(url, copy)
    return path


def stamped(database_url: str, revision: str) -> str:
    """A name for a backup: the revision, and the time."""
    suffix = SUFFIXES[read_url(database_url).get_backend_name()]
    return f"registry-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.{suffix}"


def _vacuum(url: URL, path: Path) -> None:
    source = Path(url.database or "")
    if not source.exists():
        raise Unavailable(f"there is no registry database {source}", hint="check PROMPTCTL_DATABASE_URL")
    try:
        with closing(sqlite3.connect(source, timeout=30, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (str(path),))
    except sqlite3.Error as error:
        raise Unavailable(f"cannot copy the registry database {source}: {error}", hint="is there room?") from error


def _dump(url: URL, path: Path) -> None:
    tool = shutil.which(TOOL)
    if tool is None:
        raise Unavailable(
            "a backup of PostgreSQL needs pg_dump, which is not installed here",
            hint="install PostgreSQL's client programs, or have the database's own backups",
        )
    address = url.set(drivername="postgresql", password=None).render_as_string()
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(
        [tool, "--format=custom", "--no-password", f"--file={path}", f"--dbname={address}"],
        env=os.environ | secret,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise Unavailable(f"pg_dump failed: {reason[-1] if reason else f'exit code {done.returncode}'}")
