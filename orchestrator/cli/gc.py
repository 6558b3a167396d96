"""`promptctl gc`: taking away what no version needs."""

from datetime import timedelta

import click

from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show
from .spans import Span

COLUMNS = ("kind", "name", "size")


@click.command()
@click.option("--grace", type=Span(none=True), default="1d", show_default=True, metavar="0h|12h|1d|8w",
              help="What was touched less long ago stays.")  # fmt: skip
@dry_run_option
@output_option
def gc(grace: timedelta, dry_run: bool, output: str) -> None:
    """Take away bytes that no version needs any more.

    Those are the bytes of deleted versions, and of versions that nobody has gone on publishing, which are given up
    and come back when their run is resumed. What killed writes left goes as well. Safe beside publishers of the very
    same bytes. What only another registry in the same store knows stays.

    \b
    promptctl gc --dry-run
    promptctl gc
    promptctl gc --grace 0h
    """
    from registry.keeping.keeper import Keeper

    from ..access import opened
    from ..settings import Settings

    with opened(Settings(), dry_run=dry_run, kind=Keeper) as keeper:
        removed = keeper.collect(grace, dry_run=dry_run)
    show(Listing("removed", [plain(one) for one in removed], COLUMNS), output)
    say_dry_run(dry_run)
