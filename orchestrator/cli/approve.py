"""`promptctl approve`: the yes of somebody other than a version's author."""

import click

from . import complete
from .options import output_option
from .output import show_one


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.option("--to", default="production", show_default=True, help="The alias that may name it.")
@click.option("--reason", default="", help="Why; kept in the audit.")
@output_option
def approve(reference: str, to: str, reason: str, output: str) -> None:
    """Say yes to a version for a protected alias.

    A policy says how many approvals it takes, and whose count. The version's author is not among them, and
    everybody counts once. With a token in PROMPTCTL_TOKEN it is the yes of its holder, who has to be a promoter;
    without one, of PROMPTCTL_ACTOR or the user of this machine.

    \b
    promptctl approve sentiment:8
    promptctl approve sentiment:8 --to production --reason "looked at 50 answers"
    """
    from ..access import opened
    from ..promotion.acting import acting
    from ..settings import Settings

    settings = Settings()
    with opened(settings) as registry:
        version = registry.resolve(reference)
        approver = acting(settings, "promoter", "an approval")
        approval = registry.reviews.approve(version, to, approver=approver, reason=reason)
    show_one("approval", approval, output)
