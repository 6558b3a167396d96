"""`promptctl correct`: learn what users corrected."""

import click

from . import complete
from .options import output_option
from .output import show_one


@click.command()
@click.argument("name", shell_complete=complete.prompts)
@click.option("--server", metavar="URL", help="The server that holds them; else PROMPTCTL_SERVER's.")
@click.option("--at-least", type=click.IntRange(min=1), default=1, show_default=True,
              help="Do nothing while fewer are waiting, so that a timer can call it.")  # fmt: skip
@click.option("--margin", type=click.FloatRange(0, 1), default=0.003, show_default=True,
              help="By how much the accuracy on held-out rows may fall.")  # fmt: skip
@output_option
def correct(name: str, server: str | None, at_least: int, margin: float, output: str) -> None:
    """Learn what users corrected, and publish a candidate.

    Only prompts of `promptctl train --method coda` can. The corrections are borrowed from the memory of a server on
    this machine and go into this process alone. A label takes part once three different corrections name it, because a
    sum of fewer rows would be near to a row. They count as often as it takes for nine in ten to be right; then the
    earlier sessions are judged again on their held-out rows. The accuracy over all of these may fall by --margin, that
    over the labels that nobody corrected as well, and that of a single session by ten times as much, or by one row. If
    all is well, a version is published, the texts are dropped, and nothing is promoted; otherwise the exit code is 6
    and they wait on.

    It goes on from the version in production, or else from the newest. Where another one is published meanwhile, the
    exit code is 5.

    \b
    promptctl correct assistant
    promptctl correct assistant --at-least 20     nothing happens before 20 are waiting
    """
    from rich.console import Console

    from serve.client import Client

    from ..access import opened
    from ..continual.correction import correct as learn
    from ..progress import Bars
    from ..settings import Settings

    settings = Settings()
    show = Bars(Console(stderr=True))
    with opened(settings) as registry:
        found = learn(registry, name, Client(server or settings.server), at_least, margin, settings, show)
    if found.version is None:
        click.echo(f"{found.corrections} corrections are waiting that can be learned; nothing was done", err=True)
    else:
        click.echo(
            f"{found.corrections} corrections learned, their texts dropped; next: promptctl promote {found.version}",
            err=True,
        )
    show_one("correction", found, output, name="version")
