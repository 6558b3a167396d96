"""Finds patterns in every file that was written since a moment, anywhere on the disk."""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.privacy.contents import Patterns, in_bytes, in_file

NO_DISK = ("/proc", "/sys", "/dev")


@dataclass(frozen=True, order=True)
class Hit:
    """A file, and which pattern it has in it or in its name; never the text."""

    file: str
    pattern: str


def search(patterns: Patterns, since: float, root: Path = Path("/"), but: Collection[Path] = ()) -> list[Hit]:
    """Hits in what was written or renamed under `root` since a time in seconds; not under `but`."""
    skip = {*NO_DISK, *map(str, but)}
    return sorted({Hit(entry.path, name) for entry in _new(str(root), since, skip) for name in _in(entry, patterns)})


def _new(folder: str, since: float, skip: Collection[str]) -> Iterator[os.DirEntry[str]]:
    """Every entry below a folder that changed; others may write and delete while we look."""
    waiting = [folder]
    while waiting:
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.path in skip:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                with suppress(FileNotFoundError):
                    known = entry.stat(follow_symlinks=False)
                    if max(known.st_mtime, known.st_ctime) >= since:
                        yield entry


def _in(entry: os.DirEntry[str], patterns: Patterns) -> set[str]:
    found = {f"name: {name}" for name in in_bytes(os.fsencode(entry.name), patterns)}
    with suppress(FileNotFoundError, PermissionError):
        if entry.is_symlink():
            return found | {f"link: {name}" for name in in_bytes(os.fsencode(os.readlink(entry.path)), patterns)}
        if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            found |= in_file(Path(entry.path), patterns)
    return found
