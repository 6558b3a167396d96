"""`promptctl registry`: prompts with all that belongs to them, from one registry to another."""

from pathlib import Path

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import plain, show_one


@click.group()
def registry() -> None:
    """Carry prompts from one registry to another, in one file.

    The file is a tar like an OCI image layout: versions with their cards and parents, aliases with their history,
    tasks, runs, and the bytes by digest. Tokens and counts of feedback stay where they are.
    """


@registry.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("prompts", nargs=-1, shell_complete=complete.prompts)
@output_option
def export(file: Path, prompts: tuple[str, ...], output: str) -> None:
    """Write the registry, or some prompts of it, to a file.

    Prompts that the chosen ones were made from come along. The same registry gives the same bytes.

    \b
    promptctl registry export registry.tar
    promptctl registry export two.tar sentiment qa
    """
    from registry.keeping.keeper import Keeper

    from ..access import opened
    from ..settings import Settings

    with opened(Settings(), dry_run=True, kind=Keeper) as keeper:
        packed = keeper.pack(file, prompts)
    show_one("export", plain(packed), output, name="digest")


@registry.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dry_run_option
@output_option
def bring(file: Path, dry_run: bool, output: str) -> None:
    """Take in what a file has and this registry has not.

    All of the file is checked first. An empty registry becomes what the other one was. In any other, versions keep
    their numbers, the history of an alias must go on from what is here, and another version under a number that is
    taken is refused. The same file again changes nothing.

    \b
    promptctl registry import registry.tar --dry-run
    promptctl registry import registry.tar
    """
    from registry.keeping.keeper import Keeper

    from ..access import opened
    from ..settings import Settings

    with opened(Settings(), dry_run=dry_run, kind=Keeper) as keeper:
        unpacked = keeper.unpack(file, dry_run=dry_run)
    show_one("import", plain(unpacked), output, name="versions")
    say_dry_run(dry_run)
