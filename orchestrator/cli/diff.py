"""`promptctl prompt diff`: what differs between two versions."""

import re
from typing import TYPE_CHECKING

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show, show_one

if TYPE_CHECKING:
    from ..difference import Difference


@click.command()
@click.argument("a", shell_complete=complete.references)
@click.argument("b", shell_complete=complete.references)
@output_option
def diff(a: str, b: str, output: str) -> None:
    """Show what differs between two versions.

    Metrics with how much more B has, method and hyperparameters, data by rows and digest, settings of
    the training, task, backbone, prompt and head; what is equal is left out. Then how far B's tensors
    are from A's: L2, L2 in shares of A's own length, and cosine, of a prefix in all and per layer.
    Prompts of other lengths, layers or places have no distance, so it says what they are.

    \b
    promptctl prompt diff sentiment:3 sentiment:4
    promptctl prompt diff sentiment@production sentiment@staging -o json
    """
    from ..access import opened
    from ..difference import difference
    from ..settings import Settings

    with opened(Settings()) as registry:
        found = difference(registry, a, b)
    if output == "table":
        _show_tables(found)
    else:
        show_one("difference", plain(found) | {"equal": found.equal}, output, name="b")
    if found.equal:
        names = "" if found.same_bytes else ", but for their names"
        click.echo(f"{found.a} and {found.b} are equal{names}", err=True)


def _show_tables(found: "Difference") -> None:
    if found.facts:
        facts = [
            {"what": one.what, found.a: _short(one.a), found.b: _short(one.b), "difference": one.difference}
            for one in found.facts
        ]
        show(Listing("facts", facts, ("what", found.a, found.b, "difference"), name="what"), "table")
    if found.tensors:
        if found.facts:
            click.echo()
        tensors = [plain(one) for one in found.tensors]
        show(Listing("tensors", tensors, ("tensor", "layer", "l2", "relative", "cosine"), name="tensor"), "table")


def _short(value: object) -> object:
    """A digest by its first 12 digits, which are enough to see that it is another."""
    return value[:12] if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else value
