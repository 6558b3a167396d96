"""Files that somebody else wrote: found, measured and read as data, and nothing in them is ever executed.

A name is looked up in one folder and never outside it, a size is looked at before anything is read, and JSON is bounded
in length and depth.
"""

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import NoSuchFile, UnreadableFile
from .tensors import TensorFile, read_tensors

MOST_FILES = 1_000
LARGEST_FILE = 8 << 30  # bytes
LARGEST_JSON = 1 << 20  # bytes
DEEPEST_JSON = 20


@dataclass(frozen=True)
class Source:
    """A folder, or one file of it, and whether its pickles may be read."""

    folder: Path
    files: tuple[str, ...]  # names right in the folder
    allow_pickle: bool = False

    @classmethod
    def at(cls, path: Path, *, allow_pickle: bool = False) -> "Source":
        """The files of a folder, or one file alone.

        Raises:
            NoSuchFile: nothing is there.
            UnreadableFile: it cannot be listed, or is too much.
        """
        try:
            if not path.exists():
                raise NoSuchFile(f"no such file or folder: {str(path)!r}")
            place = path.resolve(strict=True)
            if not place.is_dir():
                return cls(place.parent, (place.name,), allow_pickle)
            names = sorted(entry.name for entry in place.iterdir())
        except (OSError, RuntimeError) as error:
            raise UnreadableFile(f"{str(path)!r} cannot be read: {type(error).__name__}") from error
        if len(names) > MOST_FILES:
            raise UnreadableFile(f"{str(path)!r} holds {len(names)} files", hint="name the prompt's own folder")
        return cls(place, tuple(names), allow_pickle)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of the names that is here."""
        return next((name for name in names if name in self.files), None)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            UnreadableFile: it is something else, too long or too deep.
        """
        path = self._path(name, LARGEST_JSON)
        try:
            value = json.loads(path.read_bytes().decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{name} is not JSON: {type(error).__name__}") from error
        if not isinstance(value, dict):
            raise UnreadableFile(f"{name} holds a {type(value).__name__}, not an object")
        if _depth(value) > DEEPEST_JSON:
            raise UnreadableFile(f"{name} is nested deeper than {DEEPEST_JSON} levels")
        return value

    def tensors(self, name: str) -> TensorFile:
        """A file of tensors: safetensors, npy or, where they are allowed, a pickle.

        Raises:
            UnreadableFile: it is damaged, claims more than it holds, or is a pickle.
        """
        return read_tensors(self._path(name, LARGEST_FILE), allow_pickle=self.allow_pickle)

    def _path(self, name: str, largest: int) -> Path:
        if name not in self.files or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise UnreadableFile(f"{name!r} is no file of {str(self.folder)!r}")
        try:
            path = self.folder / name
            leads, found = path.resolve(strict=True), path.stat()
        except (OSError, RuntimeError) as error:
            raise UnreadableFile(f"{name!r} cannot be read: {type(error).__name__}") from error
        if not leads.is_relative_to(self.folder):
            raise UnreadableFile(
                f"{name!r} is a link that leads out of its folder", hint="copy the files themselves into one folder"
            )
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableFile(f"{name!r} is not a plain file")
        if found.st_size > largest:
            raise UnreadableFile(f"{name!r} has {found.st_size} bytes; at most {largest} are read")
        return path


def shown(value: object) -> str:
    """Somebody else's words in a message: quoted, on one line, cut."""
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for several in inner for one in several]
    return deepest
