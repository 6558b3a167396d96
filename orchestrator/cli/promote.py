"""`promptctl promote`: the move that puts a version in front of users."""

import click

from . import complete
from .moves import settle
from .options import dry_run_option, output_option


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=complete.references)
@click.option("--to", default="production", show_default=True, help="The alias to move.")
@click.option("--percent", type=click.IntRange(0, 100), default=100, show_default=True,
              help="How many of the rows; below 100 the alias keeps its version for the others.")  # fmt: skip
@click.option("--shadow", is_flag=True, help="Have it answer beside the alias's version, and only compare.")
@click.option("--reason", default="", help="Why; kept in the prompt's log.")
@dry_run_option
@output_option
def promote(
    references: tuple[str, ...], to: str, percent: int, shadow: bool, reason: str, dry_run: bool, output: str
) -> None:
    """Point an alias at a version; several move all or none.

    With --percent a version becomes the candidate beside the alias's own: rows with the same `key` stay with one
    of the two. 100 percent ends it one way, 0 percent or a rollback the other. A --shadow answers every row as well,
    and is compared but never returned. Servers follow within a second, one that answers here at once.

    \b
    promptctl promote sentiment:7
    promptctl promote sentiment:7 qa:3 --reason "retrained on May's corrections"
    promptctl promote sentiment:8 --percent 10
    promptctl promote sentiment:8 --shadow
    promptctl promote sentiment@staging --dry-run
    """
    from registry import Move

    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    moves = [Move(reference, to, percent=percent, shadow=shadow) for reference in references]
    with opened(settings, dry_run=dry_run) as registry:
        events = registry.promote(moves, actor=settings.actor, reason=reason, dry_run=dry_run)
    settle(settings, events, output, dry_run=dry_run)
