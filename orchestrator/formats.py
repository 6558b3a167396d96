"""JSONL, CSV and Parquet as numbered records; what is not a record comes out as the reason why."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

Record = tuple[int, Mapping[str, object] | str]  # the line, then its fields or what is wrong with it
Digest = Callable[[bytes], object]


def records(file: BinaryIO, suffix: str, columns: Collection[str], update: Digest) -> Iterator[Record]:
    """Stream a file's records with at least those columns; every byte read also goes through `update`."""
    match suffix:
        case "csv":
            yield from csv_records(_hashed(file, update))
        case "parquet":
            yield from parquet_records(b"".join(_hashed(file, update)), columns)
        case _:
            yield from jsonl_records(_hashed(file, update))


def _hashed(lines: Iterable[bytes], update: Digest) -> Iterator[bytes]:
    for line in lines:
        update(line)
        yield line


def jsonl_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """One JSON object a line; blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            yield number, "not UTF-8"
        except (ValueError, RecursionError):
            yield number, "broken JSON"
        else:
            yield number, value if isinstance(value, dict) else "not a JSON object"


def csv_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """Rows under a header, named by the line they start on; quoted cells may span lines."""
    reader = csv.reader(_escaped(lines), strict=True)
    header: list[str] = []
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield start, "broken CSV"
            continue
        if not cells:
            continue
        if not header:
            header = cells
        elif not is_unicode("".join(cells)):
            yield start, "not UTF-8"
        elif len(cells) != len(header):
            yield start, f"{len(cells)} cells under {len(header)} columns"
        else:
            yield start, {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _escaped(lines: Iterable[bytes]) -> Iterator[str]:
    # An undecodable byte must reach the parser: a row it sits in may span lines, and reading goes on after it.
    for number, line in enumerate(lines, 1):
        yield line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: false for lone surrogates, escaped bytes among them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parquet_records(data: bytes, columns: Collection[str]) -> Iterator[Record]:
    """Rows numbered from 1. The file is held in memory, because its index is at its end."""
    number = 0
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        present = [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches(columns=present or None):
            for record in _unpacked(batch):
                number += 1
                yield number, record


def _unpacked(batch: pa.RecordBatch) -> Iterator[Mapping[str, object] | str]:
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            yield "not UTF-8" if isinstance(error, UnicodeDecodeError) else "a value that Python cannot hold"
        else:
            half = batch.num_rows // 2
            yield from _unpacked(batch.slice(0, half))
            yield from _unpacked(batch.slice(half))
