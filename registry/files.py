"""Whole files by key: in a local folder, or in any object store that fsspec reaches."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from uuid import uuid4

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class Files(Protocol):
    """Where whole files are written and read by key."""

    def write(self, key: str, data: bytes) -> None:
        """Put the file there, whole or not at all."""
        ...

    def read(self, key: str) -> bytes:
        """The file's bytes, or FileNotFoundError."""
        ...


@dataclass(frozen=True)
class Folder:
    """A local folder; a file is there durably and whole, or not at all."""

    root: Path
    mode: int = 0o666  # of a file, less the umask

    def write(self, key: str, data: bytes) -> None:
        """Write beside the destination, flush file and folder to disk, and rename."""
        path = self.root / key
        _make_durably(path.parent)
        beside = path.with_name(f".tmp-{uuid4().hex}")
        try:
            with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, self.mode)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        return (self.root / key).read_bytes()


@dataclass(frozen=True)
class Bucket:
    """An object store, whose single PUT is atomic; the key comes from the content, so writing again is harmless."""

    filesystem: "AbstractFileSystem"
    root: str

    def write(self, key: str, data: bytes) -> None:
        """PUT the object."""
        self.filesystem.pipe_file(f"{self.root}/{key}", data)

    def read(self, key: str) -> bytes:
        """GET the object."""
        return cast(bytes, self.filesystem.cat_file(f"{self.root}/{key}"))


def _make_durably(folder: Path) -> None:
    if not folder.is_dir():
        _make_durably(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
