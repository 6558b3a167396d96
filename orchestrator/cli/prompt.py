"""`promptctl prompt`: what has been published, and which versions count."""

import click

from . import complete, moves
from .diff import diff
from .evaluate import evaluate
from .exchange import export_prompt, import_prompt
from .explain import explain
from .mix import mix
from .options import output_option
from .output import Listing, plain, show, show_one
from .retire import archive, delete, restore
from .text_prompt import create, render


@click.group()
def prompt() -> None:
    """See prompts, their versions and the history of their aliases.

    A reference names one version: NAME (its production version), NAME@ALIAS, NAME:NUMBER, or
    NAME@sha256:DIGITS with at least 8 digits. Shared prompts are named shared/NAME.
    """


for command in (create, render, evaluate, explain, diff, mix, import_prompt, export_prompt, archive, restore, delete):
    prompt.add_command(command)


@prompt.command("list")
@output_option
def list_prompts(output: str) -> None:
    """List prompts with their newest version and their aliases.

    \b
    promptctl prompt list
    promptctl prompt list -o name
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        records = [plain(record) for record in registry.prompts()]
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
            record = {"reference": version.reference} | plain(version)
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
    columns = ("at", "alias", "old", "new", "action", "actor", "reason", *moves.split(events))
    show(Listing("events", [plain(event) for event in events], columns, name="hash"), output)


def _spelled(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias}:{number}" for alias, number in sorted(aliases.items()))
