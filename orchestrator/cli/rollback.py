"""`promptctl rollback`: the way back from a promotion."""

import click

from . import complete
from .moves import settle
from .options import dry_run_option, output_option


@click.command()
@click.argument("name", shell_complete=complete.prompts)
@click.option("--on", default="production", show_default=True, metavar="ALIAS", help="The alias to move.")
@click.option("--reason", default="", help="Why; kept in the prompt's log.")
@dry_run_option
@output_option
def rollback(name: str, on: str, reason: str, dry_run: bool, output: str) -> None:
    """Point an alias back at the version before.

    A candidate or a shadow beside the alias's version is taken away first; the next rollback then goes to the
    version before. A rollback is a move like any other and is kept in the log: doing it twice changes nothing.

    \b
    promptctl rollback sentiment
    promptctl rollback sentiment --on staging --dry-run
    """
    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        event = registry.rollback(name, on, actor=settings.actor, reason=reason, dry_run=dry_run)
    settle(settings, [event], output, dry_run=dry_run)
