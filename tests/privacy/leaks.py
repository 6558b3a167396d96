"""Leaks on purpose: a row as a careless program would leave it."""

import base64
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa


def leaks(word: str, ids: Sequence[int]) -> Mapping[str, bytes]:
    """The contents of files with a row in them, by the pattern that must be found."""
    row = f'she said "{word}" and left'.encode()
    around = [7592, *ids, 102]
    packed = pa.compress(str([*range(500)]).encode() + row, "zstd", asbytes=True)  # a short text is kept as it is
    return {
        "UTF-8": row,
        "UTF-16LE": row.decode().encode("utf-16-le"),
        "UTF-16BE": b"-" + row.decode().encode("utf-16-be"),
        "JSON": json.dumps({"text": row.decode()}).encode(),
        "percent": f"GET /?text={quote(row)} HTTP/1.1".encode(),
        "int32 ids": np.asarray(around, np.int32).tobytes(),
        "int64 ids": b"-" + np.asarray(around, np.int64).tobytes(),
        "ids, ids": json.dumps(around).encode(),
        "ids,ids": json.dumps(around, separators=(",", ":")).encode(),
        "base64 +0": base64.b64encode(f"abc{word} and left".encode()),
        "base64 +1": base64.b64encode(f"abcd{word} and left".encode()),
        "base64 +2": base64.b64encode(f"abcde{word} and left".encode()),
        "gzip: UTF-8": b"before" + gzip.compress(row) + b"after",
        "zstd: UTF-8": b"before" + packed + b"after",
        "gzip: zstd: UTF-8": gzip.compress(b"-" * 5000 + packed),
        "zip: UTF-8": _zipped(row),
    }


def _zipped(row: bytes) -> bytes:
    with zipfile.ZipFile(held := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("rows.txt", row * 20)
    return held.getvalue()


def database(file: Path, word: str) -> sqlite3.Connection:
    """A table whose value has the word on the border of two pages; closing it moves them from the log into the file.

    4681 bytes of payload, 3 of them its header: the first page keeps 489 + (4681 - 489) % 4092 = 589 (SQLite's file
    format, section 1.6), which is 586 of the text.
    """
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x TEXT)")
    text = b"-" * (586 - 5) + word.encode()
    connection.execute("INSERT INTO t VALUES (?)", ((text + b"-" * (4678 - len(text))).decode(),))
    connection.commit()
    return connection
