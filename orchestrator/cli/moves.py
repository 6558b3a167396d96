"""What promotions and rollbacks show of the aliases that they moved."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .options import say_dry_run
from .output import Listing, plain, show

if TYPE_CHECKING:
    from registry import AliasEvent

    from ..settings import Settings

SPLIT = ("candidate", "percent")


def say(text: str) -> None:
    """One line beside the result."""
    click.echo(text, err=True)


def settle(settings: "Settings", events: "Sequence[AliasEvent]", output: str, *, dry_run: bool) -> None:
    """Print the moves, and have a server that answers follow them."""
    from ..announcing import announce

    show(Listing("moves", [plain(event) for event in events], ("name", "alias", "old", "new", *split(events))), output)
    say_dry_run(dry_run)
    if not dry_run and (said := announce(settings)):
        click.echo(said, err=True)


def split(events: "Sequence[AliasEvent]") -> tuple[str, ...]:
    """The columns of candidates, where there are any."""
    return SPLIT if any(event.candidate is not None for event in events) else ()
