"""`promptctl compare`: was the prompt worth it, and what would something else have cost."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from . import complete
from .options import output_option
from .output import Listing, plain, show, show_one
from .train import METHODS as PROMPTS
from .train import hyperparameter

if TYPE_CHECKING:
    from ..comparison.comparisons import ComparisonReport
    from ..comparison.specs import ComparisonSpec

# The names in methods.METHODS and methods.baselines.BASELINES, without importing torch.
METHODS = ("head-only", *PROMPTS, "lora", "adapter", "bitfit", "full")
COLUMNS = (
    *("task", "method", "setting", "metric", "split", "mean", "spread", "n", "parameters", "bytes", "seconds"),
    "failed",
)
ANEW = ("workers", "plot", "resume", "output")  # options that a resumed comparison may have of its own


@click.command()
@click.option("--tasks", multiple=True, metavar="NAME,...", shell_complete=complete.tasks, help="What to learn.")
@click.option(
    "--methods", multiple=True, metavar="NAME,...", help=f"What to compare: {', '.join(METHODS)}.  [default: all]"
)
@click.option("--seeds", type=int, help="How often, each time from another start.  [default: 3]")
@click.option("--shots", metavar="K,...", help="Learn from K rows per label, drawn by each seed, or all.")
@click.option("--repeats", type=int, help="How many draws: --seeds by the name that it has with --shots.")
@click.option("--from", multiple=True, metavar="METHOD=REF,...",
              help="Let a method start from a version too, beside from scratch; repeatable.")  # fmt: skip
@click.option("--separate", is_flag=True, help="Let mpt train one task per cell, as the others do.")
@click.option("--grid", multiple=True, metavar="KEY=VALUE,...", help="Values of a setting to try; repeatable.")
@click.option("--epochs", type=int, default=5, show_default=True, help="How often each row is seen.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Rows per step.")
@click.option("--rows", type=int, help="Train on the first N rows of each task at the most.")
@click.option("--test-rows", type=int, help="Judge on the first N rows of each task at the most.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The frozen model; else PROMPTCTL_BACKBONE's.")
@click.option("--workers", type=int, help="Cells at a time; 0 runs them in this process.  [default: all cores]")
@click.option("--name", help="The comparison's id; else the time gives one.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw into a .png or .svg too.")
@click.option("--resume", metavar="ID", help="Run the cells that a stopped comparison lacks.")
@output_option
@click.pass_context
def compare(
    ctx: click.Context, resume: str | None, workers: int | None, plot: Path | None, output: str, **values: Any
) -> None:
    """Train methods beside each other and say what each is worth.

    A cell is one training: a method, a setting, a task, a seed. mpt trains all tasks jointly in one cell, unless told
    to --separate them, every other method one task per cell. Methods of prompts stand beside head-only, the control
    without a prompt, and beside lora, adapter, bitfit and full (fine-tuning), which change a copy of the backbone per
    task; nothing is published.

    --grid takes hyperparameters of methods (lr is learning_rate) and epochs, batch-size, rows, shots; a method without
    a key has one cell where others have several.

    --shots draws K rows of each label, or K rows of a task whose rows have no label of its own, out of all or of the
    first --rows; every method of a seed sees the same draw. --from takes what train --from takes: a version, a shared
    prompt as shared:NAME, or a mix; it is pinned to version numbers, and kept for --resume. To start a task
    from another task's prompt is SPoT (Vu et al., 2022).

    The table has the mean and the sample standard deviation over the seeds, on the test rows, or on the validation
    rows where there are none; the bytes kept per task; the seconds of training per task. The plot is beside the
    finished cells under comparisons/ID in promptctl's home. A failed cell is a line of the table; the exit code is
    1 only if all of them failed.

    \b
    promptctl compare --tasks qa,sentiment
    promptctl compare --tasks qa --methods head-only,prefix-tuning,lora --seeds 5 --plot worth.png
    promptctl compare --tasks qa --methods mpt,lora --grid lr=1e-3,1e-2 --grid rows=100,1000
    promptctl compare --tasks reviews --methods mpt,prefix-tuning --shots 4,16,32,all --repeats 10
    promptctl compare --tasks reviews --methods mpt,lora --from mpt=shared:default --separate
    promptctl compare --resume ID
    """
    if plot is not None and (plot.suffix not in (".png", ".svg") or not plot.absolute().parent.is_dir()):
        raise click.UsageError(f"--plot {str(plot)!r} is no .png or .svg in a folder that is there", ctx)
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 0:
        raise click.UsageError(f"--workers {workers} is not possible; give 0 or more", ctx)
    if resume is None:
        report = _run("compare", _spec(values), workers, plot)
    else:
        _refuse_other_options(ctx)
        report = _run("resume", resume, workers, plot)
    _show_report(report, output)
    if report.failed == report.cells:
        ctx.exit(1)


def _refuse_other_options(ctx: click.Context) -> None:
    for name in ctx.params:
        if name not in ANEW and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"a resumed comparison keeps its own settings; leave out --{name.replace('_', '-')}", ctx
            )


def _spec(values: dict[str, Any]) -> "ComparisonSpec":
    from ..comparison.specs import ComparisonSpec
    from ..specs import parse

    named = {key: value for key, value in values.items() if value is not None}
    shots, repeats = named.pop("shots", None), named.pop("repeats", None)
    named["tasks"] = _names(values["tasks"])
    named["methods"] = _names(values["methods"]) if values["methods"] else METHODS
    named["grid"] = _grid(values["grid"] if shots is None else (*values["grid"], f"shots={shots}"))
    named["starts"] = _starts(named.pop("from"))
    if repeats is not None:
        if "seeds" in named:
            raise click.UsageError("--seeds and --repeats say the same; give one of them")
        named["seeds"] = repeats
    if not named["tasks"]:
        raise click.UsageError("nothing to learn: give --tasks NAME,... or --resume ID")
    return parse(ComparisonSpec, named, "comparison")


def _names(given: tuple[str, ...]) -> list[str]:
    return [name for names in given for name in names.split(",") if name]


def _grid(given: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    """KEY=VALUE,VALUE of each option, where a value is a number, true, false, or else text."""
    grid = {}
    for pair in given:
        key, _, values = pair.partition("=")
        listed = values.split(",")
        if not (key and all(listed)):
            raise click.UsageError(f"--grid {pair!r} is not KEY=VALUE,...")
        if key in grid:
            raise click.UsageError(f"--grid has {key!r} twice; list its values after one")
        grid[key] = tuple(hyperparameter(f"{key}={value}")[1] for value in listed)
    return grid


def _starts(given: tuple[str, ...]) -> dict[str, list[str]]:
    """METHOD=REF of each option; a method may have several."""
    starts: dict[str, list[str]] = {}
    for pair in given:
        name, _, text = pair.partition("=")
        if not (name and text):
            raise click.UsageError(f"--from {pair!r} is not METHOD=REF")
        starts.setdefault(name, []).append(text)
    return starts


def _run(begin: str, what: "ComparisonSpec | str", workers: int, plot: Path | None) -> "ComparisonReport":
    from rich.console import Console

    from ..comparison import comparisons
    from ..comparison.progress import Cells
    from ..settings import Settings

    work = getattr(comparisons, begin)
    with Cells(Console(stderr=True)).live() as cells:
        return work(what, Settings(), cells, workers=workers, plot=plot)


def _show_report(report: "ComparisonReport", output: str) -> None:
    from ..comparison.specs import written

    if output in ("json", "yaml"):
        show_one("comparison", report, output, name="id")
        return
    records = [plain(row) for row in report.rows]
    if output == "table":
        records = [_shown(record, written(record["setting"])) for record in records]
    show(Listing("methods", records, COLUMNS, name="method"), output)
    failed = f", {report.failed} failed" if report.failed else ""
    mirrored = f", MLflow run {report.mlflow_run_id}" if report.mlflow_run_id else ""
    click.echo(f"comparison {report.id}: {report.cells} cells{failed}, {report.seconds:.0f} s{mirrored}", err=True)
    click.echo(f"table, plot and cells: {report.folder}", err=True)


def _shown(record: dict[str, Any], setting: str) -> dict[str, Any]:
    """A record as a table has it: `-` where there is no number."""
    return {key: "-" if value is None else value for key, value in record.items()} | {"setting": setting or "-"}
