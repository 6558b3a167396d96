"""Blobs at their content address: what comes back is what was put."""

import re
from dataclasses import dataclass
from pathlib import Path

from .canonical import digest_of
from .errors import IntegrityError, Invalid, Unavailable
from .files import Bucket, Files, Folder
from .guard import refuse_inside_write


@dataclass(frozen=True)
class Store:
    """Blobs by digest; what is read is hashed, so what comes back is what was put."""

    url: str
    files: Files

    def put(self, digest: str, blob: bytes) -> None:
        """Store a blob at its digest."""
        refuse_inside_write("storing a blob")
        try:
            self.files.write(key_of(digest), blob)
        except OSError as error:
            raise _unanswered(self.url, digest, error) from error

    def get(self, digest: str) -> bytes:
        """The blob of a digest."""
        refuse_inside_write("reading a blob")
        try:
            blob = self.files.read(key_of(digest))
        except FileNotFoundError as error:
            raise IntegrityError(
                f"the store at {masked(self.url)} has no blob {digest}", hint="restore the store from a backup"
            ) from error
        except OSError as error:
            raise _unanswered(self.url, digest, error) from error
        if (found := digest_of(blob)) != digest:
            raise IntegrityError(
                f"the blob stored as {digest} has digest {found}: it is damaged",
                hint="restore it from a backup, or publish the same artifact again",
            )
        return blob


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
        raise Invalid(f"cannot open the store {masked(url)}: {why}", hint="check PROMPTCTL_STORE_URL") from error
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
    return f"blobs/sha256/{digits[:2]}/{digits}"


def _unanswered(url: str, digest: str, error: OSError) -> Unavailable:
    why = error.strerror or type(error).__name__  # other messages quote the address, with its password
    return Unavailable(f"the store at {masked(url)} failed on {digest}: {why}", hint="check PROMPTCTL_STORE_URL")
