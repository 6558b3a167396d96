"""`promptctl feedback`: say what an answer should have been, and see what became of such corrections."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import click

from . import complete
from .failures import Failure, as_object, explain
from .options import output_option
from .output import Listing, Record, plain, show
from .stream import FAULTS_OF_A_ROW, opened, parsed

COLUMNS = ("version", "accepted", "unsettled", "learned", "dropped", "expired", "lost", "last_at")


class Client(Protocol):
    """What takes corrections: `serve.client.Client`."""

    def feedback(self, correction: Record, /) -> dict[str, Any]:
        """Until when the correction is held."""
        ...


class Desk(Protocol):
    """What lends corrections and hears what became of them: `serve.client.Client`."""

    def lease(self, prompt: str, /) -> dict[str, Any]:
        """Borrow all that wait."""
        ...

    def settle(self, lease: str, outcome: Literal["dropped"], /) -> int:
        """Say what became of them."""
        ...


class Sending(click.Group):
    """A group whose first word, where it is no command, is the prompt that `send` gets."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `send` before what is to be sent."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["send", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Sending)
def feedback() -> None:
    """Correct a running server's answers, for it to learn from.

    The server holds a correction in its memory alone, for a day at most, and writes it nowhere; the
    registry counts it without what it says. `promptctl feedback NAME` is short for `promptctl feedback
    send NAME`.

    \b
    promptctl feedback sentiment --text "what a dull evening" --label negative
    promptctl feedback sentiment:7 --file corrections.jsonl
    promptctl feedback list
    promptctl feedback drop sentiment
    """


@feedback.command()
@click.argument("reference", metavar="[REF]", required=False, shell_complete=complete.references)
@click.option("--text", help="The text that was answered wrongly; the shell's history keeps it.")
@click.option("--text-pair", help="The second text of a pair task.")
@click.option("--label", help="The right label; a server may allow one that its task does not have yet.")
@click.option("--version", metavar="REF|DIGEST", help="The version that erred; else the one that REF names now.")
@click.option("--file", metavar="FILE", help="Corrections as JSON lines; - is standard input.")
@click.option("--server", metavar="URL", help="The server; else PROMPTCTL_SERVER's.")
@output_option
@click.pass_context
def send(
    ctx: click.Context, reference: str | None, file: str | None, server: str | None, output: str, **values: Any
) -> None:
    """Send one correction, or a file of them.

    A line of a file is an object with text, label, perhaps text_pair, version, and its own prompt where REF
    is not given. Each line is answered by one; a correction that is refused gives its error, and the exit
    code is then that of the first. One that the server has no room for ends the command.

    \b
    promptctl feedback send sentiment --text "what a dull evening" --label negative
    promptctl feedback send same --text "a book" --text-pair "a film" --label no --version same:3
    promptctl feedback send --file corrections.jsonl
    promptctl feedback send sentiment --file - < corrections.jsonl
    """
    given = {key: value for key, value in {"prompt": reference, **values}.items() if value is not None}
    if file is None and not {"prompt", "text", "label"} <= given.keys():
        raise click.UsageError("nothing to send: give REF, --text and --label, or --file", ctx)
    if file is not None and "text" in given:
        raise click.UsageError("--text and --file are two ways to say it: give one", ctx)
    from serve.client import Client as Http

    from ..settings import Settings

    client = Http(server or Settings().server)
    if file is not None:
        with opened(file) as lines:
            ctx.exit(send_lines(client, lines, given))
    answer = client.feedback(given)
    show(Listing("feedback", [answer], ("message", "waiting"), name="message"), output)


def send_lines(client: Client, lines: Iterable[bytes], defaults: Record) -> int:
    """Send JSON lines one by one; the exit code of the first that failed, else 0."""
    exit_code = 0
    for number, row in _rows(lines, defaults):
        answer = row if isinstance(row, Failure) else _sent(client, number, row)
        if isinstance(answer, Failure):
            exit_code = exit_code or answer.exit_code
            answer = as_object(answer)
        click.echo(json.dumps({"line": number} | answer, ensure_ascii=False))
    return exit_code


@feedback.command("list")
@click.argument("name", required=False, shell_complete=complete.prompts)
@output_option
def list_feedback(name: str | None, output: str) -> None:
    """Count corrections by version, and what became of them.

    Of each version: how many were accepted, wait or are being learned (unsettled), were learned, dropped by
    the trainer, expired unlearned, or lost with a server's process.

    \b
    promptctl feedback list
    promptctl feedback list sentiment -o json
    """
    from ..access import opened
    from ..settings import Settings

    with opened(Settings()) as registry:
        totals = registry.feedback(name)
    records = [{"version": total.reference} | plain(total) for total in totals]
    show(Listing("feedback", records, COLUMNS, name="version"), output)


@feedback.command()
@click.argument("name", shell_complete=complete.prompts)
@click.option("--server", metavar="URL", help="The server that holds them; else PROMPTCTL_SERVER's.")
def drop(name: str, server: str | None) -> None:
    """Forget the corrections of a prompt that wait, unlearned.

    For those that contradict each other, or that `promptctl correct` goes on refusing. Works on the server's machine.

    \b
    promptctl feedback drop sentiment
    """
    from serve.client import Client as Http

    from ..settings import Settings

    click.echo(f"{dropped(Http(server or Settings().server), name)} corrections of {name} dropped", err=True)


def dropped(client: Desk, name: str) -> int:
    """How many were forgotten."""
    count = 0
    while (lease := client.lease(name)["lease"]) is not None:
        count += client.settle(lease, "dropped")
    return count


def _rows(lines: Iterable[bytes], defaults: Record) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
    """Numbered lines as corrections, without those that are blank."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, parsed(line, number, defaults)


def _sent(client: Client, number: int, row: dict[str, Any]) -> dict[str, Any] | Failure:
    from serve.errors import ServeError

    try:
        return client.feedback(row)
    except ServeError as error:
        if error.code not in FAULTS_OF_A_ROW:
            click.echo(f"line {number} and those after it were not sent", err=True)
            raise
        return explain(error)
