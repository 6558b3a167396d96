"""What a place of files can do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

CHUNK = 4 << 20  # bytes; what a file of any size takes of memory


@dataclass(frozen=True)
class Leftover:
    """What a write that was killed has left behind, and since when."""

    name: str
    size: int
    at: datetime


class Files(Protocol):
    """Where whole files are written and read by key."""

    def write(self, key: str, data: bytes) -> None:
        """Put the file there, whole or not at all."""
        ...

    def write_chunks(self, key: str, chunks: Iterable[bytes]) -> None:
        """Put a file there piece by piece, whole or not at all."""
        ...

    def read(self, key: str) -> bytes:
        """The file's bytes, or FileNotFoundError."""
        ...

    def chunks(self, key: str) -> Iterator[bytes]:
        """The file's bytes in pieces of at most CHUNK, or FileNotFoundError."""
        ...

    def remove(self, key: str) -> None:
        """Take the file away, if it is there."""
        ...

    def keys(self, folder: str) -> Iterator[str]:
        """The keys of the whole files in a folder and those below it."""
        ...

    def leftovers(self) -> list[Leftover]:
        """What writes have begun and neither finished nor taken back."""
        ...

    def clear(self, leftover: Leftover) -> None:
        """Take a leftover away."""
        ...
