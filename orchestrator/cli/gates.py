"""`promptctl prompt gates`: what gates found of a version, whenever they looked."""

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show

COLUMNS = ("at", "alias", "baseline", "gate", "passed", "limit", "numbers")


@click.command()
@click.argument("reference", shell_complete=complete.references)
@output_option
def gates(reference: str, output: str) -> None:
    """Show what gates found of a version, newest first.

    Every promotion that a policy is about leaves a report, whether it passed or not: one line for each gate in a
    table, one record for each report in other formats.

    \b
    promptctl prompt gates sentiment:8
    promptctl prompt gates sentiment:8 -o json
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        reports = [plain(report) for report in registry.reviews.reports(registry.resolve(reference))]
    if output == "table":
        reports = [
            report | {"gate": name} | found | {"numbers": _spelled(found["numbers"])}
            for report in reports
            for name, found in report["details"].items()
        ]
    show(Listing("reports", reports, COLUMNS, name="hash"), output)


def _spelled(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
