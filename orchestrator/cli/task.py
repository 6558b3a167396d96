"""`promptctl task`: what there is to learn, and where its rows are."""

from pathlib import Path
from typing import Any

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, show, show_one

KINDS = ("classification", "pair", "tagging", "span-qa", "multiple-choice", "generation")


@click.group()
def task() -> None:
    """Add tasks and see which there are.

    A task names its kind, its files of rows (JSONL, CSV or Parquet, a path or a URL) and its columns.
    Rows are read from their files during a run and never copied. Two demo tasks, qa and sentiment, are
    always there.

    \b
    classification   columns text, label
    pair             columns text, text_pair, label
    tagging          columns tokens, tags: lists of words, or texts split at their spaces
    span-qa          columns question, context, answer, and answer_start or answers
    multiple-choice  columns text, choices, and label: the right choice, or its index from 0
    generation       columns text, target, and text_pair where there is one
    """


@task.command()
@click.argument("name", metavar="NAME|FILE.toml")
@click.option("--kind", type=click.Choice(KINDS), help="What a row asks.  [default: classification]")
@click.option("--train", metavar="FILE", help="Rows to learn from.")
@click.option("--validation", metavar="FILE", help="Rows to choose by.")
@click.option("--test", metavar="FILE", help="Rows to report on.")
@click.option("--field", "fields", metavar="ROLE=COLUMN", multiple=True, help="Which column plays a role.")
@click.option("--label", "labels", multiple=True, help="A label; without any, those of the training rows.")
@click.option("--max-bad-fraction", type=float, help="The share of unusable rows allowed.  [default: 0.01]")
@dry_run_option
@output_option
def add(name: str, dry_run: bool, output: str, **values: Any) -> None:
    """Add a task, or every task of a TOML file.

    A known name with another spec is a conflict: `task apply` changes tasks.

    \b
    promptctl task add reviews --train train.csv --validation dev.csv --field text=review
    promptctl task add tasks.toml
    """
    from .. import tasks

    given: dict[str, Any] = {key: value for key, value in values.items() if value not in (None, ())}
    if not name.endswith(".toml"):
        given = {"kind": "classification"} | given
        given["fields"] = dict(_role(field) for field in given.pop("fields", ()))
        _put([tasks.build(name, given, Path.cwd(), f"task {name!r}")], dry_run, output, replace=False)
    elif given:
        raise click.UsageError(f"a TOML file says everything itself; leave out --{next(iter(given))}")
    else:
        _put(tasks.load(Path(name)), dry_run, output, replace=False)


@task.command()
@click.argument("file", type=click.Path(path_type=Path))
@dry_run_option
@output_option
def apply(file: Path, dry_run: bool, output: str) -> None:
    """Add or change the tasks of a TOML file.

    Tasks it does not name stay as they are. Its paths are relative to the file.

    \b
    [tasks.reviews]
    kind = "classification"
    train = "reviews/train.jsonl"
    validation = "reviews/validation.jsonl"
    fields = { text = "review", label = "stars" }

    A template words a task: it has slots {text}, {pair}, {mask} and {prompt:3}, and a verbalizer has words
    for each label. Several `templates = [...]` vote.

    \b
    [tasks.reviews.text_prompt]
    template = "{text} It was {mask}."
    verbalizer = { positive = ["great", "good"], negative = ["bad"] }

    \b
    promptctl task apply tasks.toml --dry-run
    promptctl task apply tasks.toml
    """
    from .. import tasks

    _put(tasks.load(file), dry_run, output, replace=True)


@task.command("list")
@output_option
def list_tasks(output: str) -> None:
    """List tasks, the built-in ones too.

    \b
    promptctl task list
    """
    from ..access import opened
    from ..settings import Settings
    from ..tasks import known

    with opened(Settings()) as registry:
        added = {record.name for record in registry.tasks()}
        records = [
            spec.model_dump() | {"origin": "added" if name in added else "built-in"}
            for name, spec in known(registry).items()
        ]
    show(Listing("tasks", records, ("name", "kind", "origin", "train")), output)


@task.command("show")
@click.argument("name", shell_complete=complete.tasks)
@output_option
def show_task(name: str, output: str) -> None:
    """Show a task's kind, files, columns and labels.

    \b
    promptctl task show sentiment
    promptctl task show sentiment -o json
    """
    from ..access import opened
    from ..settings import Settings
    from ..tasks import find

    with opened(Settings()) as registry:
        show_one("task", find(registry, name).model_dump(), output)


def _role(field: str) -> tuple[str, str]:
    role, equals, column = field.partition("=")
    if not (role and equals and column):
        raise click.UsageError(f"--field {field!r} is not ROLE=COLUMN")
    return role, column


def _put(specs: Any, dry_run: bool, output: str, *, replace: bool) -> None:
    from ..access import opened
    from ..settings import Settings
    from ..tasks import put

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        changes = put(registry, specs, actor=settings.actor, replace=replace, dry_run=dry_run)
    show(Listing("changes", [vars(change) for change in changes], ("task", "action"), name="task"), output)
    say_dry_run(dry_run)
