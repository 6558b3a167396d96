"""`promptctl promote`: the move that puts a version in front of users."""

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=complete.references)
@click.option("--to", default="production", show_default=True, help="The alias to move.")
@click.option("--reason", default="", help="Why; kept in the prompt's log.")
@dry_run_option
@output_option
def promote(references: tuple[str, ...], to: str, reason: str, dry_run: bool, output: str) -> None:
    """Point an alias at a version; several move all or none.

    Servers follow within a second. `promptctl rollback` goes back.

    \b
    promptctl promote sentiment:7
    promptctl promote sentiment:7 qa:3 --reason "retrained on May's corrections"
    promptctl promote sentiment@staging --dry-run
    """
    from registry import Move

    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    moves = [Move(reference, to) for reference in references]
    with opened(settings, dry_run=dry_run) as registry:
        events = registry.promote(moves, actor=settings.actor, reason=reason, dry_run=dry_run)
    show(Listing("moves", [plain(event) for event in events], ("name", "alias", "old", "new")), output)
    say_dry_run(dry_run)
