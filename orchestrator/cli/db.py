"""`promptctl db`: the registry's database."""

import click

from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, show, show_one


@click.group()
def db() -> None:
    """Create, upgrade and check the registry's database.

    PROMPTCTL_DATABASE_URL names it. SQLite needs none of this; PostgreSQL is upgraded only here.
    """


@db.command()
@dry_run_option
@output_option
def upgrade(dry_run: bool, output: str) -> None:
    """Create the tables, or bring them to the newest revision.

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
