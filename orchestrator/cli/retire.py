"""`promptctl prompt archive`, `restore` and `delete`: taking versions away."""

from typing import TYPE_CHECKING

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show

if TYPE_CHECKING:
    from registry.retiring import Retirement

COLUMNS = ("reference", "state", "digest", "size", "created_at")
references = click.argument("references", nargs=-1, required=True, metavar="REF...", shell_complete=complete.references)
reason_option = click.option("--reason", default="", help="Why; kept with who and when.")


@click.command()
@references
@reason_option
@dry_run_option
@output_option
def archive(references: tuple[str, ...], reason: str, dry_run: bool, output: str) -> None:
    """Put versions away; several go all or none.

    They are no longer listed and no alias can name them, and their bytes stay. A version that an alias names, or
    has as its candidate, is refused.

    \b
    promptctl prompt archive sentiment:3
    promptctl prompt archive sentiment:1 sentiment:2 --reason "before the new labels"
    promptctl prompt show sentiment --archived
    """
    _retire("archive", references, reason, dry_run, output)


@click.command()
@references
@reason_option
@dry_run_option
@output_option
def restore(references: tuple[str, ...], reason: str, dry_run: bool, output: str) -> None:
    """Bring archived versions back.

    \b
    promptctl prompt restore sentiment:3
    """
    _retire("restore", references, reason, dry_run, output)


@click.command()
@references
@reason_option
@dry_run_option
@output_option
def delete(references: tuple[str, ...], reason: str, dry_run: bool, output: str) -> None:
    """Delete versions for good.

    What they were stays on record; their bytes go with the next promptctl gc after its grace. A version that an
    alias names, or has as its candidate, is refused.

    \b
    promptctl prompt delete sentiment:3 --dry-run
    promptctl prompt delete sentiment:3 --reason "trained on rows that were withdrawn"
    """
    _retire("delete", references, reason, dry_run, output)


def _retire(action: "Retirement", references: tuple[str, ...], reason: str, dry_run: bool, output: str) -> None:
    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        versions = registry.retire(references, action, actor=settings.actor, reason=reason, dry_run=dry_run)
    records = [{"reference": version.reference} | plain(version) for version in versions]
    show(Listing("versions", records, COLUMNS, name="reference"), output)
    say_dry_run(dry_run)
