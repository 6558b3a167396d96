"""`promptctl alias`: the names that move."""

import click

from . import complete, moves
from .options import output_option
from .output import Listing, plain, show

NEWEST = ("name", "alias", "new", "candidate", "percent", "generation", "at", "actor")
STEPS = ("generation", "at", "old", "new", "action", "forced", "actor", "reason")


@click.group()
def alias() -> None:
    """See what aliases name, and how they came to."""


@alias.command("list")
@click.argument("name", required=False, shell_complete=complete.prompts)
@output_option
def list_aliases(name: str | None, output: str) -> None:
    """List the aliases of a prompt, or of all, with their last move.

    \b
    promptctl alias list
    promptctl alias list sentiment -o json
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        events = registry.aliases(name)
    records = [{"reference": f"{event.name}@{event.alias}"} | plain(event) for event in events]
    show(Listing("aliases", records, NEWEST, name="reference"), output)


@alias.command()
@click.argument("reference", metavar="NAME[@ALIAS]", shell_complete=complete.references)
@output_option
def history(reference: str, output: str) -> None:
    """Show the moves of one alias, newest first.

    A bare name means production; `promptctl prompt log` has the moves of all aliases of a prompt. `report` in the
    JSON is the gate report that a move was made by.

    \b
    promptctl alias history sentiment
    promptctl alias history sentiment@staging -o jsonl
    """
    from registry.references import ByAlias, parse

    from ..access import opened
    from ..settings import Settings

    named = parse(reference)
    if not isinstance(named, ByAlias):
        raise click.UsageError(f"{reference} is one version; name an alias: {named.prompt}@production")
    with opened(Settings()) as registry:
        events = registry.history(named.prompt, named.alias)
    columns = (*STEPS, *moves.split(events))
    show(Listing("events", [plain(event) for event in events], columns, name="hash"), output)
