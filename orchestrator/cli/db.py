"""`promptctl db`: the registry's database."""

from pathlib import Path

import click

from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, show, show_one


@click.group()
def db() -> None:
    """Create, upgrade, check and back up the registry's database.

    PROMPTCTL_DATABASE_URL names it. SQLite needs none of this; PostgreSQL is upgraded only here.
    """


@db.command()
@dry_run_option
@output_option
def upgrade(dry_run: bool, output: str) -> None:
    """Create the tables, or bring them to the newest revision.

    A SQLite database is backed up first, in its own folder; for PostgreSQL, use promptctl db backup.

    \b
    promptctl db upgrade --dry-run
    promptctl db upgrade
    """
    import registry

    from ..settings import Settings

    url = Settings().database_url
    before = registry.current(url)
    after = registry.head() if dry_run else registry.upgrade(url)
    show_one("upgrade", {"before": before, "after": after}, output, name="after")
    say_dry_run(dry_run)


@db.command()
@output_option
def current(output: str) -> None:
    """Show the revision the database is at, and the one needed.

    \b
    promptctl db current
    """
    import registry

    from ..settings import Settings

    revisions = {"current": registry.current(Settings().database_url), "needed": registry.head()}
    show_one("revision", revisions, output, name="current")


@db.command()
@output_option
def check(output: str) -> None:
    """Compare the database with the code.

    The exit code is 7 when they differ.

    \b
    promptctl db check
    """
    import registry

    from ..settings import Settings

    url = Settings().database_url
    differences = registry.check(url) if registry.current(url) else ["the database is empty"]
    show(Listing("differences", [{"difference": text} for text in differences], ("difference",), "difference"), output)
    if differences:
        raise registry.Unavailable("the database and the code differ", hint="run: promptctl db upgrade")


@db.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@output_option
def backup(path: Path | None, output: str) -> None:
    """Copy the database as it is at one moment, while others write.

    To PATH, or to a file named by revision and time in PROMPTCTL_HOME. A copy of SQLite is a database: put it in the
    place of the other, while nothing runs. PostgreSQL needs pg_dump here, and pg_restore to bring it back. Blobs
    are in the store, which this does not copy: promptctl registry export has both.

    \b
    promptctl db backup
    promptctl db backup /backups/registry.db
    """
    import registry
    from registry import NotFound
    from registry.backup import backup as copy
    from registry.backup import stamped

    from ..settings import Settings

    settings = Settings()
    revision = registry.current(settings.database_url)
    if revision is None:
        raise NotFound("there is no registry database to back up", hint="check PROMPTCTL_DATABASE_URL")
    there = copy(settings.database_url, path or settings.home / stamped(settings.database_url, revision))
    show_one("backup", {"path": str(there), "revision": revision, "size": there.stat().st_size}, output, name="path")
