"""What a command found out: a table for a person, lines for a pipe, JSON and YAML for a program."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

SCHEMA_VERSION = 1
Record = Mapping[str, object]


@dataclass(frozen=True)
class Listing:
    """Records of one kind: `columns` are shown in a table, `name` is what `-o name` prints."""

    noun: str
    records: Sequence[Record]
    columns: Sequence[str]
    name: str = "name"


def show(listing: Listing, output: str) -> None:
    """Print records in the format asked for."""
    records = [plain(record) for record in listing.records]
    match output:
        case "json" | "yaml":
            _document({listing.noun: records}, output)
        case "jsonl":
            for record in records:
                click.echo(json.dumps(record, ensure_ascii=False))
        case "name":
            for record in records:
                click.echo(cell(record[listing.name]))
        case _:
            rows = [[cell(record.get(column)) for column in listing.columns] for record in records]
            _rows(rows, listing.columns)


def show_one(noun: str, record: object, output: str, *, name: str = "name") -> None:
    """Print one record, in a table field by field."""
    fields = plain(record)
    match output:
        case "json" | "yaml":
            _document({noun: fields}, output)
        case "jsonl":
            click.echo(json.dumps(fields, ensure_ascii=False))
        case "name":
            click.echo(cell(fields[name]))
        case _:
            _rows([[key, cell(value)] for key, value in fields.items()], ("field", "value"))


def plain(value: Any) -> Any:
    """Values as JSON has them; times in UTC as RFC 3339, spans in hours."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value / timedelta(hours=1):g}h"
    return value


def cell(value: object) -> str:
    """A value on one line, without characters that steer a terminal."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.4g}"
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False) if value else ""
        case _:
            text = str(value)
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)


def _document(content: dict[str, Any], output: str) -> None:
    document = {"schema_version": SCHEMA_VERSION, **content}
    if output == "json":
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    import yaml

    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


def _rows(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(column.upper() for column in columns), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console(highlight=False).print(table)
