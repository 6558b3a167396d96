"""Blobs at their content address: what comes back is what was put."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from .canonical import digest_of
from .errors import IntegrityError, Invalid, Unavailable
from .files import Bucket, Files, Folder, Leftover
from .guard import refuse_inside_write

BLOBS = "blobs/sha256"
NO_BLOBS = "its list of blobs"


@dataclass(frozen=True)
class Store:
    """Blobs by digest; what is read is hashed, so what comes back is what was put."""

    url: str
    files: Files

    def put(self, digest: str, blob: bytes) -> None:
        """Store a blob at its digest."""
        refuse_inside_write("storing a blob")
        with self._answering(digest):
            self.files.write(key_of(digest), blob)

    def put_chunks(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Store a blob at its digest, piece by piece."""
        refuse_inside_write("storing a blob")
        with self._answering(digest):
            self.files.write_chunks(key_of(digest), chunks)

    def get(self, digest: str) -> bytes:
        """The blob of a digest."""
        refuse_inside_write("reading a blob")
        with self._answering(digest), self._there(digest):
            blob = self.files.read(key_of(digest))
        if (found := digest_of(blob)) != digest:
            raise _damaged(digest, found)
        return blob

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The blob of a digest in pieces; whether they were its blob is known, and refused, after the last."""
        refuse_inside_write("reading a blob")
        hashed = sha256()
        with self._answering(digest), self._there(digest):
            for chunk in self.files.chunks(key_of(digest)):
                hashed.update(chunk)
                yield chunk
        if (found := f"sha256:{hashed.hexdigest()}") != digest:
            raise _damaged(digest, found)

    def verify(self, digest: str) -> int:
        """Read a blob without keeping it; its size."""
        return sum(map(len, self.chunks(digest)))

    def remove(self, digest: str) -> None:
        """Take a blob away, if it is there."""
        refuse_inside_write("removing a blob")
        with self._answering(digest):
            self.files.remove(key_of(digest))

    def digests(self) -> Iterator[str]:
        """The digests that something is stored at."""
        with self._answering(NO_BLOBS):
            for key in self.files.keys(BLOBS):
                yield f"sha256:{key.rpartition('/')[2]}"

    def leftovers(self) -> list[Leftover]:
        """What writes that were killed have left behind."""
        with self._answering(NO_BLOBS):
            return self.files.leftovers()

    def clear(self, leftover: Leftover) -> None:
        """Take a leftover away."""
        with self._answering(leftover.name):
            self.files.clear(leftover)

    @contextmanager
    def _there(self, digest: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise IntegrityError(
                f"the store at {masked(self.url)} has no blob {digest}", hint="restore the store from a backup"
            ) from error

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            raise
        except OSError as error:
            why = error.strerror or type(error).__name__  # other messages quote the address, with its password
            raise Unavailable(
                f"the store at {masked(self.url)} failed on {what}: {why}", hint="check PROMPTCTL_STORE_URL"
            ) from error


def open_store(url: str) -> Store:
    """The store at a path or URL: `/data/store`, `file:///data/store`, `s3://bucket/prefix`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return Store(url, Folder(Path(rest if separator else url).absolute()))
    from fsspec.core import url_to_fs

    try:
        filesystem, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        why = str(error) if isinstance(error, ImportError) else type(error).__name__
        hint = "pip install 'promptctl[s3]'" if scheme == "s3" else "check PROMPTCTL_STORE_URL"
        raise Invalid(f"cannot open the store {masked(url)}: {why}", hint=hint) from error
    return Store(url, Bucket(filesystem, root.rstrip("/")))


def masked(url: str) -> str:
    """A URL without the name and the password that it may hold."""
    return re.sub(r"(?<=://)[^/]*@", "***@", url)


def key_of(digest: str) -> str:
    """Where a blob is kept.

    Raises:
        Invalid: it is no digest.
    """
    digits = digest.removeprefix("sha256:")
    if len(digits) != 64 or digits == digest or set(digits) - set("0123456789abcdef"):
        raise Invalid(f"{digest!r} is not a digest", hint="write sha256: and 64 hex digits")
    return f"{BLOBS}/{digits[:2]}/{digits}"


def _damaged(digest: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"the blob stored as {digest} has digest {found}: it is damaged",
        hint="restore it from a backup, or publish the same artifact again",
    )
