"""Which patterns a file holds, also inside of what it compresses and across the pages of a database."""

import re
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pyarrow as pa

Patterns = Mapping[bytes, str]  # what to look for, and what to call it

WINDOW, OVERLAP = 64 << 20, 1 << 16  # bytes of a file that are looked at together, and twice
LARGEST = 64 << 20  # bytes of one member that are looked at
PIECE = 1 << 12  # bytes that are inflated together; what stands before a fault is not lost
DEEPEST = 3  # members inside of members
MAGIC = re.compile(rb"\x1f\x8b\x08|\x28\xb5\x2f\xfd|PK\x03\x04")
SQLITE = b"SQLite format 3\0"


def in_file(file: Path, patterns: Patterns) -> set[str]:
    """The names of the patterns in a file."""
    found: set[str] = set()
    with file.open("rb") as opened:
        start = opened.read(WINDOW)
        window = start
        while window:
            found |= in_bytes(window, patterns)
            fresh = opened.read(WINDOW)
            window = window[-OVERLAP:] + fresh if fresh else b""
    return found | (_in_database(file, patterns) if start.startswith(SQLITE) else set())


def in_bytes(data: bytes, patterns: Patterns, depth: int = 0) -> set[str]:
    """The names of the patterns in bytes and in their gzip, zstd and zip members."""
    found = {name for pattern, name in patterns.items() if pattern in data}
    if depth < DEEPEST:
        for kind, member in _members(data):
            found |= {f"{kind}: {name}" for name in in_bytes(member, patterns, depth + 1)}
    return found


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    for magic in MAGIC.finditer(data):
        rest = memoryview(data)[magic.start() :]
        match magic[0][:1]:
            case b"\x1f":
                yield "gzip", _inflated(rest, 31)
            case b"P" if len(rest) > 30:
                name, extra = struct.unpack_from("<HH", rest, 26)
                yield "zip", _inflated(rest[30 + name + extra :], -15)
            case b"\x28":
                yield "zstd", _unpacked(rest)


def _inflated(data: memoryview, window_bits: int) -> bytes:
    """As much of a deflated stream as there is."""
    stream, out = zlib.decompressobj(window_bits), bytearray()
    with suppress(zlib.error):
        while data and not stream.eof and len(out) < LARGEST:
            out += stream.decompress(data[:PIECE])
            data = data[PIECE:]
    return bytes(out)


def _unpacked(data: memoryview) -> bytes:
    """As much of a zstd stream as there is. A read that fails gives nothing, so the end is read byte by byte."""
    out = bytearray()
    for size in (1 << 16, 1):
        with suppress(OSError, pa.ArrowInvalid):
            stream = pa.input_stream(pa.py_buffer(data), compression="zstd")
            stream.read(len(out))
            while len(out) < LARGEST and (piece := stream.read(size)):
                out += piece
            break
    return bytes(out)


def _in_database(file: Path, patterns: Patterns) -> set[str]:
    """Every value of a SQLite database: a long one is spread over pages, and parts of it stand in the log."""
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as connection, suppress(sqlite3.DatabaseError):
            connection.text_factory = bytes
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table.decode()}"'):
                    for value in row:
                        if isinstance(value, bytes):
                            found |= {f"SQLite: {name}" for name in in_bytes(value, patterns)}
    return found
