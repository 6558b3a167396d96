"""`promptctl prompt explain`: what a trained prompt is near."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import complete
from .options import output_option
from .output import Listing, plain, show, show_one

if TYPE_CHECKING:
    from ..explanation import Explanation


def drawable(ctx: click.Context, _parameter: click.Parameter, file: Path | None) -> Path | None:
    """A file that a plot can be drawn into."""
    if file is not None and (file.suffix not in (".png", ".svg") or not file.absolute().parent.is_dir()):
        raise click.UsageError(f"--plot {str(file)!r} is no .png or .svg in a folder that is there", ctx)
    return file


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.option("--nearest", type=click.IntRange(min=1), default=5, show_default=True, help="Words per virtual token.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", callback=drawable,
              help="Draw how alike the versions are into a .png or .svg.")  # fmt: skip
@click.option("--backbone", metavar="NAME|FOLDER", help="The model; else the one that the version was made for.")
@output_option
def explain(reference: str, nearest: int, plot: Path | None, backbone: str | None, output: str) -> None:
    """Show which words a prompt's virtual tokens are near.

    Each virtual token has its norm and the tokens of the vocabulary with the highest cosine. A soft
    prompt is put beside the input embeddings. A prefix is put beside the keys that the backbone makes
    of each token, in the lowest layer that the prefix has: a forward over that token alone, so
    without neighbours and at the first position, and no more exact than that.

    Then the cosine of the whole prompt with its shared prompt and with the other versions made from
    that; where there are none, with what other prompts of the same geometry have in production, or
    else newest. Of multitask prompt tuning, how far the task's factors u and v have gone from where
    they say nothing: the first rank from one, the others from zero, as root mean squares.

    \b
    promptctl prompt explain sentiment
    promptctl prompt explain sentiment:3 --nearest 10 --plot alike.png
    promptctl prompt explain shared/default:1 -o json
    """
    from ..access import opened
    from ..explanation import explain as explanation_of
    from ..settings import Settings

    settings = Settings()
    with opened(settings) as registry:
        found = explanation_of(registry, reference, backbone, nearest)
    if plot is not None:
        from ..heat_map import draw

        draw(found.references, found.similarity, plot, settings.home / "matplotlib")
    if output == "table":
        _show_tables(found)
    else:
        show_one("explanation", found, output, name="reference")


def _show_tables(found: "Explanation") -> None:
    for part in found.parts:
        _head(f"{found.reference}, {part.part}, beside {part.beside} (median norm {part.vocabulary_norm:.3g})")
        records = [
            {
                "token": f"P{token.index}",
                "norm": token.norm,
                "nearest": "  ".join(f"{one.token} {one.cosine:.2f}" for one in token.nearest),
            }
            for token in part.tokens
        ]
        show(Listing("tokens", records, ("token", "norm", "nearest"), name="token"), "table")
    if found.ranks:
        click.echo()
        _head("how far the factors are from one (the first rank) and from zero, root mean square")
        show(Listing("ranks", [plain(one) for one in found.ranks], ("rank", "u", "v"), name="rank"), "table")
    if found.relatives:
        click.echo()
        _head("the whole prompt beside others")
        relatives = [plain(one) for one in found.relatives]
        show(Listing("relatives", relatives, ("reference", "relation", "cosine"), name="reference"), "table")


def _head(text: str) -> None:
    click.echo(text, err=True)
