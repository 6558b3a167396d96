"""`promptctl audit`: who did what, when and why, and whether it is all still there."""

import click

from .options import output_option
from .output import Listing, plain, show, show_one

COLUMNS = ("at", "actor", "action", "object", "outcome", "forced", "reason")


@click.group()
def audit() -> None:
    """See who did what and why, and check that it is all there.

    Moves of aliases, gate reports, approvals and tokens. Each is chained to the one before it by hash.
    """


@audit.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest.")
@output_option
def list_entries(limit: int, output: str) -> None:
    """List what was done, newest first.

    `forced` says that gates had refused a move.

    \b
    promptctl audit list
    promptctl audit list --limit 1000 -o jsonl
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        entries = registry.reviews.audit(limit)
    show(Listing("entries", [plain(entry) for entry in entries], COLUMNS, name="hash"), output)


@audit.command()
@output_option
def verify(output: str) -> None:
    """Check every move and every line of the ledger.

    An edited, added, dropped or cut off row of moves, gate reports, approvals or tokens is found and named, and the
    exit code is 8. Who writes both chains anew from the first change on is not found: keep the newest hash elsewhere.

    \b
    promptctl audit verify
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        show_one("verified", registry.reviews.verify(), output, name="moves")
