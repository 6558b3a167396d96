"""`promptctl prompt evaluate`: a version's metrics, and how much its wording matters."""

import click

from . import complete
from .options import output_option
from .output import Listing, show


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.option(
    "--task", metavar="NAME", shell_complete=complete.tasks, help="Whose rows.  [default: the version's task]"
)
@click.option("--split", type=click.Choice(["test", "validation"]), help="Which rows.  [default: test, if there are]")
@click.option("--backbone", metavar="NAME|FOLDER", help="The model; else the one that the version was made for.")
@output_option
def evaluate(reference: str, task: str | None, split: str | None, backbone: str | None, output: str) -> None:
    """Judge a version on a task's rows.

    Any version, trained or in words. Of several patterns, each is judged by itself as well, with their
    mean and their sample standard deviation (spread). Rows are read, judged and forgotten.

    \b
    promptctl prompt evaluate mood:1 --task sentiment
    promptctl prompt evaluate sentiment --split validation -o json
    """
    from ..access import opened
    from ..answering import ready
    from ..evaluation import evaluate as judge
    from ..settings import Settings

    with opened(Settings()) as registry:
        judged = judge(registry, ready(registry, reference, backbone), task, split)  # pyright: ignore[reportArgumentType] - one of the choices
    metrics = tuple(judged[0].metrics)
    records = [{"pattern": one.pattern, **one.metrics, "rows": one.rows, "template": one.template} for one in judged]
    show(Listing("patterns", records, ("pattern", *metrics, "rows", "template"), name="pattern"), output)
