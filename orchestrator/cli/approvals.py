"""`promptctl prompt approvals`: who said yes to which version."""

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show

COLUMNS = ("reference", "alias", "approver", "at", "reason")


@click.command()
@click.argument("reference", required=False, shell_complete=complete.references)
@output_option
def approvals(reference: str | None, output: str) -> None:
    """List who approved a version, or all approvals.

    \b
    promptctl prompt approvals sentiment:8
    promptctl prompt approvals -o json
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        found = registry.reviews.approvals(registry.resolve(reference) if reference else None)
    records = [{"reference": f"{one.name}:{one.number}"} | plain(one) for one in found]
    show(Listing("approvals", records, COLUMNS, name="approver"), output)
