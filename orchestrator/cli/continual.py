"""`promptctl continual`: how prompts that learn on remember, and how continual methods compare."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import complete
from .explain import drawable
from .options import output_option
from .output import Listing, plain, show, show_one

if TYPE_CHECKING:
    from ..continual.report import Memory

COLUMNS = ("method", "orders", "a_n", "spread", "caa", "f_code", "f_paper", "f_max", "bwt", "seconds")
# The names in methods.continual.CONTINUAL, without importing torch.
METHODS = (
    "coda", "dualprompt", "l2p", "progressive-prompts", "ft", "ftpp", "ncm", "ridge", "ridge-random", "joint",
)  # fmt: skip


@click.group()
def continual() -> None:
    """See and compare how prompts that learn on remember."""


@continual.command()
@click.argument("reference", shell_complete=complete.references)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", callback=drawable,
              help="Draw it into this .png or .svg; else into the home's continual/. MLflow gets it too.")  # fmt: skip
@output_option
def report(reference: str, plot: Path | None, output: str) -> None:
    """Print the accuracy on every session, after each of them.

    A row is a session and the version that learned it; its columns are the accuracies on the held-out rows of the
    sessions so far, among all labels known by then. Papers give one name to different numbers, so they are all here:

    \b
    A_N        mean accuracy over sessions after the last one
    CAA        mean of that over all times
    F (code)   forgetting as CODA-Prompt's released code has it: from one time to the next
    F (paper)  as its paper has it: from right after a session to every later time
    F (max)    from the best time to the end (Chaudhry et al., 2018)
    BWT        mean change from right after a session to the end

    \b
    promptctl continual report assistant
    promptctl continual report assistant:7 --plot forgetting.svg
    """
    from ..access import opened
    from ..continual.plot import draw
    from ..continual.report import memory
    from ..continual.tracking import keep, mlflow_run
    from ..settings import Settings

    settings = Settings()
    with opened(settings) as registry:
        found = memory(registry, reference)
        run = mlflow_run(registry, found.reference)
    names = [one.name for one in found.sessions]
    folder = settings.home / "continual"
    files = [plot] if plot else [folder / f"{found.reference.replace(':', '-')}.{kind}" for kind in ("png", "svg")]
    folder.mkdir(parents=True, exist_ok=True)
    draw(names, [one.accuracies for one in found.sessions], {}, files, settings.home / "matplotlib")
    if output == "table":
        _show(found)
    else:
        show_one("memory", found, output, name="reference")
    click.echo(f"drawn: {' '.join(map(str, files))}; {keep(settings, run, files)}", err=True)


def _show(found: "Memory") -> None:
    names = [one.name for one in found.sessions]
    records = [
        {"version": one.version, "learned": one.name} | dict(zip(names, one.accuracies, strict=False))
        for one in found.sessions
    ]
    if found.after_corrections:
        records.append({"version": found.reference, "learned": "corrections", **found.after_corrections})
    show(Listing("sessions", records, ("version", "learned", *names), name="version"), "table")
    click.echo()
    show(Listing("scores", [dict(found.scores)], tuple(found.scores), name="A_N"), "table")


@continual.command()
@click.option("--stream", required=True, metavar="NAME|FILE", 
              help="A TOML file, NAME.toml in the home's streams/, or clinc150-10x15.")  # fmt: skip
@click.option("--methods", default="coda,ftpp,ncm,ridge-random", show_default=True, metavar="NAME,...",
              help=f"What to compare: {', '.join(METHODS)}.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Orders of the stream.")
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True, help="How often each row is seen.")
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True,
              help="Attempts at a time, on Ray; 0 runs in this process.")  # fmt: skip
@click.option("--backbone", metavar="NAME|FOLDER", help="The frozen model; else PROMPTCTL_BACKBONE's.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", callback=drawable, help="Draw it as well.")
@output_option
def bench(
    stream: str,
    methods: str,
    seeds: int,
    epochs: int,
    workers: int,
    backbone: str | None,
    plot: Path | None,
    output: str,
) -> None:
    """Compare continual methods on a stream of sessions.

    Order 0 is that of the file; the others shuffle the labels over its sessions. Nobody sees a row of another
    session, but `joint`, which sees all at once and is the ceiling; `progressive-prompts` is told at inference which
    session a row belongs to, and the others are not. `ft` is the floor: where it does not collapse, something leaks.

    \b
    task = "clinc"                        a stream's file: one task, cut into sessions,
    [[sessions]]                          or tasks = ["travel", "banking"], a session each
    name = "banking"
    labels = ["transfer", "balance"]

    \b
    promptctl continual bench --stream stream.toml --methods coda,ftpp,ncm,joint --seeds 3
    promptctl continual bench --stream clinc150-10x15     where a task clinc150 is registered
    """
    from rich.console import Console

    from methods import DEFAULT_BACKBONE

    from ..access import opened
    from ..continual import bench as benched
    from ..continual.plot import draw
    from ..continual.streams import load, ordered
    from ..errors import RunFailed
    from ..progress import Bars
    from ..settings import Settings

    settings, names = Settings(), [name for name in methods.split(",") if name]
    if not names:
        raise click.UsageError("nothing to compare: give --methods NAME,...")
    show_progress = Bars(Console(stderr=True))
    model = backbone or settings.backbone or DEFAULT_BACKBONE
    with opened(settings) as registry:
        found = load(stream, settings.home / "streams")
        results: list[benched.Result] = []
        failed: list[benched.Failed] = []
        for one in benched.run(registry, found, names, seeds, epochs, workers, model, settings, show_progress):
            if isinstance(one, benched.Failed):
                failed.append(one)
                show_progress.say(f"{one.method}, order {one.order}: failed: {one.why}")
                continue
            results.append(one)
            final = sum(one.matrix[-1]) / len(one.matrix[-1])
            show_progress.say(f"{one.method}, order {one.order}: A_N {final:.4f}")
    records = [plain(line) for line in benched.lines(results, names)]
    if plot:
        first = {one.method: one for one in results if one.order == 0 and len(one.matrix) > 1}
        curves = {name: [sum(row) / len(row) for row in one.matrix] for name, one in first.items()}
        for shown in [*first.values()][:1]:
            draw([part.name for part in ordered(found, 0)], shown.matrix, curves, [plot], settings.home / "matplotlib")
        if not first:
            show_progress.say("nothing is drawn: no method learned two sessions one after the other")
    show(Listing("methods", records, COLUMNS, name="method"), output)
    if failed:
        raise RunFailed(f"{len(failed)} of {len(failed) + len(results)} attempts failed: {failed[0].why}")
