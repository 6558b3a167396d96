"""A local folder of files."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from .kinds import CHUNK, Leftover

UNFINISHED = ".tmp-"


@dataclass(frozen=True)
class Folder:
    """A local folder; a file is there durably and whole, or not at all."""

    root: Path
    mode: int = 0o666  # of a file, less the umask

    def write(self, key: str, data: bytes) -> None:
        """Write beside the destination, flush file and folder to disk, and rename."""
        self.write_chunks(key, (data,))

    def write_chunks(self, key: str, chunks: Iterable[bytes]) -> None:
        """The same, piece by piece."""
        path = self.root / key
        _make_durably(path.parent)
        beside = path.with_name(f"{UNFINISHED}{uuid4().hex}")
        try:
            with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, self.mode)) as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        return (self.root / key).read_bytes()

    def chunks(self, key: str) -> Iterator[bytes]:
        """The file's bytes in pieces."""
        with (self.root / key).open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def remove(self, key: str) -> None:
        """Unlink it."""
        (self.root / key).unlink(missing_ok=True)

    def keys(self, folder: str) -> Iterator[str]:
        """Every file that was renamed to its key."""
        for path in sorted((self.root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(UNFINISHED):
                yield path.relative_to(self.root).as_posix()

    def leftovers(self) -> list[Leftover]:
        """Files that were never renamed."""
        found: list[Leftover] = []
        for path in sorted(self.root.rglob(f"{UNFINISHED}*")):
            with suppress(FileNotFoundError):  # renamed in between
                about = path.stat()
                at = datetime.fromtimestamp(about.st_mtime, UTC)
                found.append(Leftover(path.relative_to(self.root).as_posix(), about.st_size, at))
        return found

    def clear(self, leftover: Leftover) -> None:
        """Unlink it."""
        self.remove(leftover.name)


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
