"""`promptctl query`: predictions from a running server, for one row or for a stream of them."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

import click

from . import complete
from .failures import Failure, as_object, explain
from .options import remember
from .output import Listing, show

BATCH = 64
FAULTS_OF_A_ROW = {"invalid", "not_found", "integrity"}
Row = Mapping[str, Any]


class Client(Protocol):
    """What answers: `serve.client.Client`."""

    def predict(self, inputs: list[dict[str, Any]], /) -> list[dict[str, Any]]:
        """One output for each input, in their order."""
        ...


@click.command()
@click.argument("reference", metavar="REF|-", shell_complete=complete.references)
@click.argument("text", required=False, metavar="[TEXT|-]")
@click.option("--text-pair", help="The second text of a pair or generation task.")
@click.option("--question", help="The question of a span-qa task.")
@click.option("--context", help="Where its answer stands.")
@click.option("--tokens", metavar="WORDS", help="The words of a tagging task, with spaces between them.")
@click.option("--choice", "choices", multiple=True, help="A choice of a multiple-choice task; repeat it for each.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), is_eager=True, callback=remember,
              help="How to print the answer.  [default: table on a terminal, else json]")  # fmt: skip
@click.pass_context
def query(ctx: click.Context, reference: str, text: str | None, output: str | None, **values: Any) -> None:
    """Ask a running server for predictions.

    With - instead of TEXT, reads rows as JSON lines and writes one JSON line for each, in their order. A row
    has text, text_pair, question, context, tokens, choices as its task needs, the last two as lists, and its
    own prompt where REF is -. A row that fails gives a line with its error; the exit code is then that of the
    first. PROMPTCTL_SERVER names the server.

    \b
    promptctl query sentiment "I liked it"
    promptctl query qa --question "Who came?" --context "Ada came in May."
    promptctl query names --tokens "Ada came in May"
    promptctl query capital "The capital of France" --choice Lyon --choice Paris
    promptctl query sentiment - < reviews.jsonl > answers.jsonl
    promptctl query - < mixed.jsonl
    """
    row = {"prompt": None if reference == "-" else reference, "text": text, **values}
    given = {key: value for key, value in row.items() if value not in (None, ())}
    if "tokens" in given:
        given["tokens"] = given["tokens"].split()
    streaming = "-" in (reference, text)
    if not streaming and not given.keys() & {"text", "question", "tokens"}:
        raise click.UsageError(
            "nothing to ask: give TEXT, or --question and --context, or --tokens, or - to read rows", ctx
        )
    from serve.client import Client as Http

    from ..settings import Settings

    client = Http(Settings().server)
    if streaming:
        given.pop("text", None)
        ctx.exit(answer_stream(client, sys.stdin.buffer, given))
    (answer,) = client.predict([given])
    _show(given, answer, output or ("table" if sys.stdout.isatty() else "json"))


def answer_stream(client: Client, lines: Iterable[bytes], defaults: Row) -> int:
    """Answer JSON lines in batches; the exit code of the first row that failed, else 0."""
    exit_code = 0
    for batch in _batches(lines):
        rows = {number: _parsed(line, number, defaults) for number, line in batch}
        answers = iter(_answered(client, [row for row in rows.values() if isinstance(row, dict)]))
        for number, row in rows.items():
            answer = row if isinstance(row, Failure) else next(answers)
            if isinstance(answer, Failure):
                exit_code = exit_code or answer.exit_code
                answer = {"line": number} | as_object(answer)
            click.echo(json.dumps(answer, ensure_ascii=False))
    return exit_code


def _batches(lines: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines, without those that are blank."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(numbered, BATCH)):
        yield batch


def _parsed(line: bytes, number: int, defaults: Row) -> dict[str, Any] | Failure:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        json.dumps(row, ensure_ascii=False).encode()  # JSON can spell half a character that UTF-8 cannot send
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        return Failure("invalid", f"line {number} is not a JSON object in UTF-8", "", 2)
    return {**defaults, **row}


def _answered(client: Client, rows: list[dict[str, Any]]) -> list[dict[str, Any] | Failure]:
    # A request stands or falls whole; halving it finds the rows at fault, and answers the others.
    from serve.errors import ServeError

    if not rows:
        return []
    try:
        return list(client.predict(rows))
    except ServeError as error:
        if error.code not in FAULTS_OF_A_ROW:
            raise
        if len(rows) == 1:
            return [explain(error)]
    half = len(rows) // 2
    return _answered(client, rows[:half]) + _answered(client, rows[half:])


def _show(row: Row, answer: Row, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    records = [record | {"version": answer["version"]} for record in _said(row, answer)]
    show(Listing("predictions", records, tuple(records[0])), "table")


def _said(row: Row, answer: Row) -> list[dict[str, object]]:
    """What was answered and how surely; of tags, one record for each word."""
    match answer:
        case {"tags": tags, "scores": scores}:
            several = zip(row["tokens"], tags, scores, strict=True)
            return [{"word": word, "tag": tag, "score": score} for word, tag, score in several]
        case {"label": label, "scores": scores}:
            return [{"label": label, "score": scores[label]}]
        case {"choice": choice, "index": index, "scores": scores}:
            return [{"choice": choice, "score": scores[index]}]
        case {"answer": said, "score": score}:
            return [{"answer": said, "score": score}]
        case _:
            return [{"text": answer["text"]}]
