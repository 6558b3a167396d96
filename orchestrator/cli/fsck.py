"""`promptctl fsck`: whether the registry is whole."""

import click

from .options import output_option
from .output import plain, show_one

SHOWN = 20


@click.command()
@output_option
def fsck(output: str) -> None:
    """Check every blob and the whole history.

    Each blob that a version needs is read and hashed, every event is compared with its hash and the one before. What
    is only left over is counted and is no fault: promptctl gc takes it away. The exit code is 8 when something is
    damaged or missing.

    \b
    promptctl fsck
    promptctl fsck -o json
    """
    from registry import IntegrityError
    from registry.keeping.keeper import Keeper

    from ..access import opened
    from ..settings import Settings

    with opened(Settings(), dry_run=True, kind=Keeper) as keeper:
        health = keeper.check()
    show_one("fsck", plain(health), output, name="versions")
    if problems := health.problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        where = "in one place" if len(problems) == 1 else f"in {len(problems)} places"
        raise IntegrityError(f"the registry is damaged {where}", hint="\n".join([*problems[:SHOWN], *more]))
