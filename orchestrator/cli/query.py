"""`promptctl query`: predictions from a running server, for one row or for a stream of them."""

import json
import sys
from typing import Any

import click

from . import complete
from .options import remember
from .output import Listing, show
from .stream import Row, answer_stream, reading


@click.command()
@click.argument("reference", metavar="[REF|-]", required=False, shell_complete=complete.references)
@click.argument("text", required=False, metavar="[TEXT|-]")
@click.option("--text-pair", help="The second text of a pair or generation task.")
@click.option("--question", help="The question of a span-qa task.")
@click.option("--context", help="Where its answer stands.")
@click.option("--tokens", metavar="WORDS", help="The words of a tagging task, with spaces between them.")
@click.option("--choice", "choices", multiple=True, help="A choice of a multiple-choice task; repeat it for each.")
@click.option("--file", metavar="FILE", help="Rows as JSON lines; - is standard input.")
@click.option("--server", metavar="URL", help="The server; else PROMPTCTL_SERVER's.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), is_eager=True, callback=remember,
              help="How to print the answer.  [default: table on a terminal, else json]")  # fmt: skip
@click.pass_context
def query(
    ctx: click.Context,
    reference: str | None,
    text: str | None,
    file: str | None,
    server: str | None,
    output: str | None,
    **values: Any,
) -> None:
    """Ask a running server for predictions.

    With --file, or - instead of TEXT, reads rows as JSON lines and writes one JSON line for each, in their order.
    A row has text, text_pair, question, context, tokens, choices as its task needs, the last two as lists, and
    its own prompt where REF is - or not given. A row that fails gives a line with its error; the exit code is
    then that of the first. A busy server is waited for, one that is gone ends the command.

    \b
    promptctl query sentiment "I liked it"
    promptctl query qa --question "Who came?" --context "Ada came in May."
    promptctl query names --tokens "Ada came in May"
    promptctl query capital "The capital of France" --choice Lyon --choice Paris
    promptctl query sentiment --file reviews.jsonl > answers.jsonl
    promptctl query - < mixed.jsonl
    """
    streaming = file is not None or "-" in (reference, text)
    named = {name: None if value == "-" else value for name, value in (("prompt", reference), ("text", text))}
    given = {key: value for key, value in (named | values).items() if value not in (None, ())}
    if "tokens" in given:
        given["tokens"] = given["tokens"].split()
    if not streaming and not ("prompt" in given and given.keys() & {"text", "question", "tokens"}):
        raise click.UsageError(
            "nothing to ask: give REF and TEXT, or --question and --context, or --tokens, or --file or - to read rows",
            ctx,
        )
    if streaming and "text" in given:
        raise click.UsageError("TEXT and a stream of rows are two things to ask: give one", ctx)
    from serve.client import Client as Http

    from ..settings import Settings

    with Http(server or Settings().server) as client:
        if streaming:
            with reading(file) as lines:
                ctx.exit(answer_stream(client, lines, given))
        (answer,) = client.predict([given])
    _show(given, answer, output or ("table" if sys.stdout.isatty() else "json"))


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
