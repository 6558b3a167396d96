"""`promptctl run`: what has been trained, and how it ended."""

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show, show_one


@click.group()
def run() -> None:
    """See runs."""


@run.command("list")
@output_option
def list_runs(output: str) -> None:
    """List runs, newest first.

    \b
    promptctl run list
    promptctl run list -o name
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        records = [plain(record) for record in registry.runs()]
    columns = ("id", "status", "attempt", "error_code", "created_by", "created_at")
    show(Listing("runs", records, columns, name="id"), output)


@run.command("show")
@click.argument("run_id", metavar="RUN", shell_complete=complete.runs)
@output_option
def show_run(run_id: str, output: str) -> None:
    """Show a run's configuration, status and MLflow run.

    \b
    promptctl run show RUN -o json
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        show_one("run", registry.run(run_id), output, name="id")
