"""A task's rows, read straight from their files: nothing is cached, and bad rows are counted, not repeated."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

import fsspec
import pyarrow as pa

from methods import Row

from .errors import InvalidSource, InvalidSpec, SourceNotFound, SourceUnavailable, TooManyBadRows
from .formats import records
from .locations import public, suffix
from .rows import Rejected, to_row
from .specs import LABELLED, ROLES, Split, TaskSpec

__all__ = ["BadRow", "Source", "TaskSpec", "read"]

NAMED = 3  # how many bad rows an error message names


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: where it is and why, never what it says."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Source:
    """What one file holds: good rows, bad rows, the sha256 of its bytes, the task's labels."""

    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]
    sha256: str
    labels: tuple[str, ...]


def read(spec: TaskSpec, split: Split, labels: Sequence[str] | None = None) -> Source:
    """Read one split. `labels` are those of the training rows; a task that names its labels needs none."""
    file = getattr(spec, split)
    if file is None:
        raise InvalidSpec(f"task {spec.name!r} has no {split} file", hint=f"name one with {split} = ...")
    known = spec.labels or (None if split == "train" else labels)
    with _opened(file) as opened:
        source = _sorted_out(spec, file, opened, known)
    if not source.rows and not source.bad:
        raise InvalidSource(f"{public(file)} has no rows")
    _check_share(spec, public(file), source)
    return source


def column(spec: TaskSpec, split: Split, labels: Sequence[str], name: str) -> tuple[str | None, ...]:
    """What a column beside the task's own says of each row that `read` gives."""
    file, accepted, found = getattr(spec, split), frozenset(spec.labels or labels), []
    columns = {spec.column(role) for role in ROLES[spec.kind]} | {name}
    with _opened(file) as opened:
        for _, fields in records(opened, suffix(file), columns, bytes):
            with suppress(Rejected):
                to_row(spec, fields, accepted or None)
                value = fields.get(name) if isinstance(fields, Mapping) else None
                found.append(None if value is None else str(value))
    return tuple(found)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    name = public(file)
    try:
        source = fsspec.open(file, "rb")
    except (ImportError, ValueError) as error:
        raise InvalidSpec(f"cannot open {name}: {error}") from error
    try:
        with source as opened:
            yield cast(BinaryIO, opened)
    except FileNotFoundError:
        raise SourceNotFound(f"no such file: {name}", hint="promptctl task show NAME lists its files") from None
    except pa.ArrowInvalid:
        raise InvalidSource(f"{name} is not a readable Parquet file") from None
    except OSError as error:
        raise SourceUnavailable(f"cannot read {name}: {error.strerror or type(error).__name__}") from error


def _sorted_out(spec: TaskSpec, file: str, opened: BinaryIO, known: Sequence[str] | None) -> Source:
    rows: list[Row] = []
    bad: list[BadRow] = []
    digest = hashlib.sha256()
    accepted = frozenset(known) if known else None
    columns = {spec.column(role) for role in ROLES[spec.kind]}
    for line, fields in records(opened, suffix(file), columns, digest.update):
        try:
            rows.append(to_row(spec, fields, accepted))
        except Rejected as rejected:
            bad.append(BadRow(public(file), line, str(rejected)))
    return Source(tuple(rows), tuple(bad), digest.hexdigest(), tuple(known or _seen(spec, rows)))


def _seen(spec: TaskSpec, rows: Sequence[Row]) -> list[str]:
    """The labels that rows have; of kinds without labels of their own, none."""
    if spec.kind not in LABELLED:
        return []
    return sorted({label for row in rows for label in (row.label, *row.tags) if label is not None})


def _check_share(spec: TaskSpec, file: str, source: Source) -> None:
    bad, total = len(source.bad), len(source.bad) + len(source.rows)
    if bad <= spec.max_bad_fraction * total:
        return
    counts = ", ".join(f"{count} × {reason}" for reason, count in Counter(b.reason for b in source.bad).most_common())
    first = "; ".join(f"{row.file}:{row.line} {row.reason}" for row in source.bad[:NAMED])
    raise TooManyBadRows(
        f"{bad} of {total} rows of {file} are bad, more than {spec.max_bad_fraction:.1%}: {counts}; first: {first}",
        hint="correct the rows, name the columns with fields = {...}, or raise max_bad_fraction",
    )
