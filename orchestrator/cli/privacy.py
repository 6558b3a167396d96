"""`promptctl privacy`: what a version gives away of its training rows."""

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show

COLUMNS = ("measure", "of", "value", "low", "high", "limit", "met", "scores")


@click.group()
def privacy() -> None:
    """Measure what a version gives away of its training rows."""


@privacy.command("audit")
@click.argument("reference", shell_complete=complete.references)
@click.option("--shadows", type=click.IntRange(min=4), default=8, show_default=True, help="Trainings to attack with.")
@click.option("--rows", type=click.IntRange(min=8), metavar="N", help="Score N rows of each side.  [default: all]")
@click.option("--max-auc", type=float, default=0.60, show_default=True, help="Gate: area under the ROC curve.")
@click.option("--max-tpr", type=float, default=0.03, show_default=True, help="Gate: members found at 1% false alarms.")
@click.option(
    "--max-exposure", type=float, default=3.0, show_default=True, help="Gate: mean exposure of canaries, bits."
)
@click.option("--backbone", metavar="NAME|FOLDER", help="The model; else the one that the version was made for.")
@output_option
def audit(
    reference: str,
    shadows: int,
    rows: int | None,
    max_auc: float,
    max_tpr: float,
    max_exposure: float,
    backbone: str | None,
    output: str,
) -> None:
    """Attack a version to see what it gives away of its rows.

    Shadows are trained in this process as the version was, each on a random half of its training rows; so an audit
    takes about half of the version's own training time for each. The attack is LiRA (Carlini et al., 2022).
    Nothing is written down but the numbers. Every value has a 95% confidence interval (bootstrap).

    \b
    of retrained   each shadow attacked with the others: rows that it saw against
                   rows that it did not. The clean number, but of trainings
                   on half of the rows, which learn less by heart.
    of published   the version itself: its training rows against validation and
                   test rows. Where those files differ, that counts as leakage.
    of files       how far they do: shadows attacked with rows they never saw,
                   from those files. No gate; 0.5 where they are alike. Training
                   rows that resemble each other still raise `published`.
    of canaries    nonsense rows put into the shadows' halves: how much easier
                   they have become to say than nonsense never trained on.

    An attack that knows nothing has an auc of 0.5, a tpr of 0.01 at 1% false positives, and an exposure of 1.44 bits.
    Gates are on the values; one that is not met ends with exit code 6. Files that changed since the training are
    refused. Rows that a version learned before, by --from, are in the shadows too, and are not found.

    \b
    promptctl privacy audit sentiment:3
    promptctl privacy audit sentiment --shadows 16 --rows 200 -o json
    promptctl privacy audit sentiment@staging --max-auc 0.55 --max-exposure 2
    """
    from rich.console import Console

    from ..access import opened
    from ..answering import ready
    from ..privacy import Gates, check
    from ..privacy import audit as attacked
    from ..progress import Bars
    from ..settings import Settings

    bars = Bars(Console(stderr=True))
    with opened(Settings()) as registry:
        version = ready(registry, reference, backbone)
        found = attacked(registry, version, shadows, rows, Gates(max_auc, max_tpr, max_exposure), bars.say)
    show(Listing("measures", [plain(one) for one in found], COLUMNS, name="measure"), output)
    check(version.reference, found)
