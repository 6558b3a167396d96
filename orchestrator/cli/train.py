"""`promptctl train`: from tasks to published versions."""

import tomllib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show, show_one

if TYPE_CHECKING:
    from ..progress import Show
    from ..publishing import RunReport
    from ..settings import Settings
    from ..specs import RunSpec

# The names in methods.METHODS besides the control, without importing torch.
METHODS = ("mpt", "p-tuning", "p-tuning-v2", "prefix-tuning", "prompt-tuning")
# Those in methods.continual.CONTINUAL that can be served.
CONTINUAL = ("coda", "dualprompt", "ft", "ftpp", "l2p", "ncm", "ridge", "ridge-random")
COLUMNS = ("task", "version", "metric", "prompt", "head_only", "parameters", "bytes")
SPEC = {"from": "start", "set": "hyperparameters"}  # options that a RunSpec calls otherwise


@click.command()
@click.option("--tasks", multiple=True, metavar="NAME,...", shell_complete=complete.tasks, help="What to learn.")
@click.option("--method", type=click.Choice((*METHODS, *CONTINUAL)), default="mpt", show_default=True, metavar="METHOD",
              help=f"How prompts learn: {', '.join(METHODS)}; in sessions: {', '.join(CONTINUAL)}.")  # fmt: skip
@click.option("--set", multiple=True, metavar="KEY=VALUE", help="A hyperparameter of the method; repeatable.")
@click.option("--epochs", type=int, default=5, show_default=True, help="How often each row is seen.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Rows per step, over all workers.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides order, start and draw.")
@click.option("--shots", type=int, metavar="K", help="Learn from K rows per label, drawn by the seed.")
@click.option("--workers", type=int, default=1, show_default=True, help="Ray workers; 0 trains in this process.")
@click.option("--backbone", metavar="NAME|FOLDER", help="The frozen model; else PROMPTCTL_BACKBONE's.")
@click.option("--from", metavar="REF[*WEIGHT],...", shell_complete=complete.references,
              help="Start from a version instead of from words, or from a mix of several.")  # fmt: skip
@click.option("--teachers", metavar="REF,...", shell_complete=complete.references,
              help="Versions that mpt distils, one per task, instead of training them first.")  # fmt: skip
@click.option("--gradient-checkpointing", is_flag=True, help="Compute activations twice instead of keeping them.")
@click.option("--cache-activations", is_flag=True, help="Compute what no prompt changes once, and keep it in memory.")
@click.option("--dp-epsilon", type=float, metavar="E", help="Train with noise, within this privacy budget.")
@click.option("--dp-delta", type=float, metavar="D", help="How likely the budget may not hold; below 1 / rows.")
@click.option("--name", help="What to publish the shared prompt as, shared/NAME, or a prompt that learns on, NAME.  "
              "[default: default, or not at all with --from]")  # fmt: skip
@click.option("--resume", metavar="RUN", shell_complete=complete.runs, help="Go on with a run that was stopped.")
@dry_run_option
@output_option
@click.pass_context
def train(ctx: click.Context, resume: str | None, dry_run: bool, output: str, **values: Any) -> None:
    """Train prompts for one or more tasks and publish them.

    Several tasks share one prompt and each gets its own version. Nothing is promoted: the report shows each
    prompt beside its control, the same head trained without a prompt. A run that is stopped goes on with
    --resume and ends with the same bytes.

    --shots draws K rows of each label, or K rows of a task whose rows have no label of its own; validation and test
    rows stay as they are.

    --from takes references, and shared:NAME for the newest version of a shared prompt. Weights are shares of
    their sum; without any, all versions count the same.

    Methods that learn on (coda and the others that `promptctl continual` compares) take the tasks one after the other
    as sessions, publish a version of one prompt, --name, after each, and answer among all labels learned so far. Run
    again with more tasks, they go on from the newest version. No row of an earlier session is needed or kept.

    --dp-epsilon and --dp-delta bound what the published versions and their metrics say of any one training row,
    whoever looks: rows are drawn at random, each one's gradient is clipped to length 1, and the sum gets noise
    (DP-SGD). The head-only control trains in the same way, and the budget covers both. Epsilon, delta and noise stand
    in the card, with the sum over all runs that a version comes from by --from; versions trained anew on the same
    rows add up too, which no card can know. Outside the bound: label names, row counts and files' digests. Two such
    runs never give the same bytes.

    \b
    promptctl train --tasks qa,sentiment
    promptctl train --tasks sentiment --method prefix-tuning --set length=8 --epochs 5
    promptctl train --tasks reviews --from shared:default --dry-run
    promptctl train --tasks reviews --from shared:default --shots 16 --seed 1
    promptctl train --tasks reviews --from sentiment:3*0.7,qa*0.3 --method prefix-tuning
    promptctl train --tasks reviews --dp-epsilon 8 --dp-delta 1e-4 --batch-size 64
    promptctl train --tasks travel,banking,kitchen --method coda --name assistant
    promptctl train --resume RUN
    """
    if resume is not None:
        _refuse_other_options(ctx, dry_run)
        _run(lambda runs, settings, bars: runs.resume(resume, settings, bars), output)
        return
    spec = _spec(values)
    if spec.method in CONTINUAL and not dry_run:
        _learn_on(spec, output)
    elif dry_run:
        _show_plan(spec, output)
    else:
        _run(lambda runs, settings, bars: runs.train(spec, settings, bars), output)


def _refuse_other_options(ctx: click.Context, dry_run: bool) -> None:
    given = [
        name
        for name in ctx.params
        if (name == "dry_run" and dry_run)
        or (name not in ("resume", "output") and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    ]
    if given:
        raise click.UsageError(f"a resumed run keeps its own settings; leave out --{given[0].replace('_', '-')}", ctx)


def _spec(values: dict[str, Any]) -> "RunSpec":
    from ..specs import RunSpec, parse

    named = {SPEC.get(key, key): value for key, value in values.items() if value is not None}
    named["tasks"] = [name for names in values["tasks"] for name in names.split(",") if name]
    named["hyperparameters"] = dict(hyperparameter(pair) for pair in values["set"])
    if not named["tasks"]:
        raise click.UsageError("nothing to learn: give --tasks NAME,... or --resume RUN")
    return parse(RunSpec, named, "run")


def hyperparameter(pair: str) -> tuple[str, object]:
    """KEY=VALUE, where a value is a number, true, false, or else text."""
    key, equals, value = pair.partition("=")
    if not (key and equals and value):
        raise click.UsageError(f"--set {pair!r} is not KEY=VALUE")
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
    return key, found if isinstance(found, int | float | str) else value


def _run(begin: "Callable[[ModuleType, Settings, Show], RunReport]", output: str) -> None:
    from rich.console import Console

    from .. import runs
    from ..progress import Bars
    from ..settings import Settings

    with Bars(Console(stderr=True)).live() as bars:
        report = begin(runs, Settings(), bars)
    _show_report(report, output)


def _learn_on(spec: "RunSpec", output: str) -> None:
    from rich.console import Console

    from ..continual.sessions import learn
    from ..progress import Bars
    from ..settings import Settings

    with Bars(Console(stderr=True)).live() as bars:
        for report in learn(spec, Settings(), bars):
            _show_report(report, output)


def _show_plan(spec: "RunSpec", output: str) -> None:
    from rich.console import Console

    from .. import runs
    from ..access import opened
    from ..progress import Bars
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=True) as registry:
        show = Bars(Console(stderr=True))
        if spec.method in CONTINUAL:
            from ..continual import sessions

            sessions.check(spec, registry)
            spec, _ = sessions.begun(spec, registry, show)
        job = runs.plan(spec, settings, registry, show)
    plan = spec.model_dump() | {"backbone": job.backbone, "start": job.start, "teachers": job.teachers}
    plan["dp"] = job.dp and job.dp.model_dump()
    plan["rows"] = {task.task.name: task.rows for task in job.tasks}
    show_one("plan", plan, output, name="name")
    say_dry_run(True)


def _show_report(report: "RunReport", output: str) -> None:
    if output in ("json", "yaml"):
        show_one("run", report, output)
        return
    records = [
        plain(row) | {"version": row.reference, "prompt": row.value, "head_only": row.control} for row in report.rows
    ]
    show(Listing("versions", records, COLUMNS, name="version"), output)
    shared = f", shared prompt {report.shared}" if report.shared else ""
    mirrored = f", MLflow run {report.mlflow_run_id}" if report.mlflow_run_id else ""
    click.echo(f"run {report.run_id}: {report.seconds:.0f} s{shared}{mirrored}", err=True)
    references = " ".join(row.reference for row in report.rows)
    click.echo(f"next: promptctl promote {references}", err=True)
