"""`promptctl prompt mix`: a new version that is a weighted mean of others."""

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF[:WEIGHT]...", shell_complete=complete.references)
@click.option("--name", help="What to call the mix.  [default: the prompt that all versions are of]")
@dry_run_option
@output_option
def mix(references: tuple[str, ...], name: str | None, dry_run: bool, output: str) -> None:
    """Publish a weighted mean of versions.

    A weight follows a colon and has a point, or follows a star: sentiment:3 is a version, and
    sentiment:0.7, sentiment:3:0.7 and sentiment:3*2 have weights. Weights are shares of their sum;
    without any, all versions count the same. shared:NAME is the newest version of a shared prompt.

    Versions must be of one backbone, and their prompts of one kind, place and length. Where all of
    them answer the same kind of task with the same labels, their heads are averaged too and the mix
    answers by itself. Otherwise it is published as shared/NAME, to train from; so it is where --name
    says shared/NAME. The same mix again is no new version. Nothing is promoted.

    \b
    promptctl prompt mix sentiment:3:0.7 sentiment:4:0.3
    promptctl prompt mix sentiment*2 reviews@staging*1 --name mood --dry-run
    promptctl prompt mix sentiment qa topics --name warm
    promptctl train --tasks reviews --from shared:warm
    """
    from ..access import opened
    from ..mixing import mix as publish
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        made = publish(registry, references, name, actor=settings.actor, dry_run=dry_run)
    record = plain(made)
    if output == "table":
        record |= {"mix": ", ".join(made.mix)}
    show(Listing("versions", [record], ("reference", "task", "mix", "bytes"), name="reference"), output)
    if made.apart:
        click.echo(f"it has no head, so it is one to train from: {made.apart}", err=True)
    say_dry_run(dry_run)
