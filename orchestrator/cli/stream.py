"""Rows as JSON lines, answered line by line: a stream of them, from a file or from standard input."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, BinaryIO, Protocol, cast

import click

from .failures import Failure, as_object, explain

BATCH = 64
FAULTS_OF_A_ROW = {"invalid", "not_found", "integrity"}
Row = Mapping[str, Any]


class Client(Protocol):
    """What answers: `serve.client.Client`."""

    def predict(self, inputs: Sequence[Row], /) -> Sequence[Row]:
        """One output for each input, in their order."""
        ...


@contextmanager
def reading(file: str | None) -> Iterator[Iterable[bytes]]:
    """The lines of a file or of standard input; a person sees on stderr how much of a file has been answered."""
    with opened(file or "-") as lines:
        if sys.stdout.isatty() or not (sys.stderr.isatty() and lines.seekable()):
            yield lines
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        here = lines.tell()  # of standard input, somebody may have read the beginning
        total = lines.seek(0, os.SEEK_END) - here
        lines.seek(here)
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield bar.wrap_file(cast(BinaryIO, lines), total)


def opened(file: str) -> IO[bytes]:
    """The bytes of a file; - is standard input.

    Raises:
        click.BadParameter: it cannot be read.
    """
    try:
        return click.open_file(file, "rb")
    except OSError as error:
        raise click.BadParameter(f"cannot read {file!r}: {error.strerror}", param_hint="--file") from error


def answer_stream(client: Client, lines: Iterable[bytes], defaults: Row) -> int:
    """Answer JSON lines in batches; the exit code of the first row that failed, else 0."""
    exit_code = 0
    for batch in _batches(lines):
        rows = {number: parsed(line, number, defaults) for number, line in batch}
        try:
            answers = iter(_answered(client, [row for row in rows.values() if isinstance(row, dict)]))
        except Exception:
            click.echo(f"line {batch[0][0]} and those after it were not answered", err=True)
            raise
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


def parsed(line: bytes, number: int, defaults: Row) -> dict[str, Any] | Failure:
    """A line as a row, which says more than the defaults; or what is wrong with it."""
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        json.dumps(row, ensure_ascii=False).encode()  # JSON can spell half a character that UTF-8 cannot send
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        return Failure("invalid", f"line {number} is not a JSON object in UTF-8", "", 2)
    return {**defaults, **row}


def _answered(client: Client, rows: list[dict[str, Any]]) -> list[Row | Failure]:
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
