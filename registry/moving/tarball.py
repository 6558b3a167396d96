"""The file: a tar like an OCI image layout, with plain members alone: `oci-layout`, `index.json`, then the blobs.

The index names one blob by its digest: the lines that say all the rest, and name the other blobs by theirs. A tar is
never extracted: what is in it is found by place, so that no name, link or device in it does anything.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from ..errors import IntegrityError, Invalid, NotFound
from ..files import CHUNK

MEDIA_TYPE = "application/vnd.promptctl.registry.v1+jsonl"
LAYOUT = {"imageLayoutVersion": "1.0.0"}
INDEX_BYTES = 1 << 16
BLOCK = tarfile.BLOCKSIZE
BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True)
class Span:
    """Where in the file a blob is."""

    start: int
    size: int


@dataclass(frozen=True)
class Contents:
    """A tar whose blobs all have the digests that they are named by."""

    lines: Span
    blobs: Mapping[str, Span]


def write_member(file: IO[bytes], name: str, size: int, chunks: Iterable[bytes]) -> None:
    """Add a plain file; the same bytes give the same tar.

    Raises:
        IntegrityError: the chunks are not of that size.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    written = 0
    for chunk in chunks:
        written += file.write(chunk)
    if written != size:
        raise IntegrityError(f"{name} has {written} bytes, not {size}", hint="run: promptctl fsck")
    file.write(bytes(-size % BLOCK))


def write_head(file: IO[bytes], digest: str, size: int) -> None:
    """Begin a tar whose lines are that blob."""
    manifest = {"mediaType": MEDIA_TYPE, "digest": digest, "size": size}
    for name, content in (("oci-layout", LAYOUT), ("index.json", {"schemaVersion": 2, "manifests": [manifest]})):
        data = json.dumps(content, separators=(",", ":")).encode()
        write_member(file, name, len(data), [data])


def write_end(file: IO[bytes]) -> None:
    """End a tar."""
    file.write(bytes(2 * BLOCK))


def read_contents(path: Path) -> Contents:
    """Read all of a tar and hash every blob in it.

    Raises:
        Invalid: it is no such tar, or has in it what such a tar has not.
        IntegrityError: a blob is not what its name says.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    with path.open("rb") as file:
        small: dict[str, Any] = {}
        blobs: dict[str, Span] = {}
        for name, span in _members(file, path.stat().st_size):
            if found := BLOB.fullmatch(name):
                digest = f"sha256:{found[1]}"
                if digest in blobs:
                    raise _refused(f"it holds {name} twice")
                _check(file, span, digest)
                blobs[digest] = span
            elif name in ("oci-layout", "index.json") and name not in small and span.size <= INDEX_BYTES:
                small[name] = _json(file.read(span.size), name)
            else:
                raise _refused(f"it holds {name!r}, of {span.size} bytes")
    lines = _lines(small)
    if lines not in blobs:
        raise _refused("what its index names is not in it")
    return Contents(blobs.pop(lines), blobs)


def pieces(file: IO[bytes], span: Span) -> Iterator[bytes]:
    """The bytes of a span."""
    file.seek(span.start)
    left = span.size
    while left and (chunk := file.read(min(CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _members(file: IO[bytes], total: int) -> Iterator[tuple[str, Span]]:
    """Plain files by name, up to the end of the tar; the file stands at each one's first byte."""
    at = 0
    while any(block := file.read(BLOCK)):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise _refused(f"its byte {at} begins no member") from error
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _refused(f"its member {info.name!r} is no plain file")
        at += BLOCK
        if not 0 <= info.size <= total - at:
            raise _refused(f"its member {info.name!r} goes beyond its end")
        yield info.name, Span(at, info.size)
        at += info.size + -info.size % BLOCK
        file.seek(at)
    if at == 0 or not block:
        raise _refused("it ends in the middle, or is no tar")


def _check(file: IO[bytes], span: Span, digest: str) -> None:
    hashed = sha256()
    for piece in pieces(file, span):
        hashed.update(piece)
    if (found := f"sha256:{hashed.hexdigest()}") != digest:
        raise IntegrityError(f"the blob {digest} in the file has digest {found}", hint="export it again")


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(f"its {name} is no JSON") from error


def _lines(small: Mapping[str, Any]) -> str:
    match small:
        case {
            "oci-layout": {"imageLayoutVersion": "1.0.0"},
            "index.json": {"manifests": [{"mediaType": kind, "digest": str(digest)}]},
        } if kind == MEDIA_TYPE:
            return digest
    raise _refused("it has no index of a promptctl registry")


def _refused(why: str) -> Invalid:
    return Invalid(f"the file is refused: {why}", hint="make it with promptctl registry export")
