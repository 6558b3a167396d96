"""`promptctl prompt`: what has been published, and which versions count."""

from collections.abc import Sequence
from typing import Any

import click

from . import complete, moves
from .approvals import approvals
from .diff import diff
from .evaluate import evaluate
from .exchange import export_prompt, import_prompt
from .explain import explain
from .gates import gates
from .mix import mix
from .options import output_option
from .output import Listing, plain, show, show_one
from .retire import archive, delete, restore
from .signing import sign, verify
from .tag import TAG, Since, tag
from .text_prompt import create, render


@click.group()
def prompt() -> None:
    """See prompts, their versions and the history of their aliases.

    A reference names one version: NAME (its production version), NAME@ALIAS, NAME:NUMBER, or
    NAME@sha256:DIGITS with at least 8 digits. Shared prompts are named shared/NAME.
    """


COMMANDS = (
    *(create, render, evaluate, explain, diff, mix, gates, approvals, import_prompt, export_prompt),
    *(tag, sign, verify, archive, restore, delete),
)
for command in COMMANDS:
    prompt.add_command(command)


@prompt.command("list")
@click.option("--name", metavar="GLOB", help="Only prompts of such a name, as in 'qa-*'.")
@click.option("--task", help="Only prompts with a version for this task.")
@click.option("--kind", help="Only prompts with a version for this kind of task; `shared` for shared ones.")
@click.option("--method", help="Only prompts with a version that this method made.")
@click.option("--tag", "tags", type=TAG, multiple=True, metavar="KEY=VALUE",
              help="Only prompts with a version tagged so; repeat it for several tags.")  # fmt: skip
@click.option("--alias", help="Only prompts with a version that this alias names.")
@click.option("--since", type=Since(), metavar="DATE|30d", help="Only prompts with a version from then on.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N of them.")
@output_option
def list_prompts(tags: Sequence[tuple[str, str]], output: str, **given: Any) -> None:
    """List prompts with their newest version and their aliases.

    With several filters, one version has to fit them all.

    \b
    promptctl prompt list
    promptctl prompt list --method coda --since 30d -o name
    promptctl prompt list --name "qa-*" --tag team=search --alias production
    """
    from registry.tagging.search import Search

    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        records = [plain(record) for record in registry.find(Search(tags=tuple(tags), **given))]
    if output == "table":
        records = [record | {"aliases": _spelled(record["aliases"])} for record in records]
    show(Listing("prompts", records, ("name", "kind", "latest", "aliases", "created_at")), output)


@prompt.command("show")
@click.argument("reference", shell_complete=complete.references)
@click.option("--limit", type=click.IntRange(min=1), help="Of a bare name, so many of the newest versions.")
@click.option("--archived", is_flag=True, help="Of a bare name, also versions archived, deleted or given up.")
@output_option
def show_prompt(reference: str, limit: int | None, archived: bool, output: str) -> None:
    """Show one version with its card; of a bare name, every version.

    \b
    promptctl prompt show sentiment           its versions, newest first
    promptctl prompt show sentiment --limit 5 --archived
    promptctl prompt show sentiment:7         one version: card, parents, digest
    promptctl prompt show sentiment@staging
    """
    from ..access import opened
    from ..settings import Settings

    columns = ("reference", "state", "digest", "size", "run_id", "created_at")
    with opened(Settings()) as registry:
        if ":" in reference or "@" in reference:
            version = registry.resolve(reference)
            record = {"reference": version.reference} | plain(version) | {"tags": registry.tags.of(version.reference)}
            show_one("version", record, output, name="reference")
            return
        versions = registry.versions(reference, retired=archived, limit=limit)
    records = [{"reference": version.reference} | plain(version) for version in versions]
    show(Listing("versions", records, columns, name="reference"), output)


@prompt.command("log")
@click.argument("name", shell_complete=complete.prompts)
@click.option("--alias", help="Only the line of this alias.")
@output_option
def log_prompt(name: str, alias: str | None, output: str) -> None:
    """Show how a prompt's aliases have moved, newest first.

    \b
    promptctl prompt log sentiment
    promptctl prompt log sentiment --alias staging -o jsonl
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        events = registry.history(name, alias)
    forced = ("forced",) if any(event.forced for event in events) else ()
    columns = ("at", "alias", "old", "new", "action", "actor", "reason", *moves.split(events), *forced)
    show(Listing("events", [plain(event) for event in events], columns, name="hash"), output)


def _spelled(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias}:{number}" for alias, number in sorted(aliases.items()))
