"""A file that is there whole or not at all, and never in the place of another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ..errors import Conflict, Unavailable
from .folder import UNFINISHED

OWNER_ONLY = 0o600


@contextmanager
def fresh(path: Path) -> Iterator[Path]:
    """An empty file beside the path, for its owner alone, which gets the path's name when the block has ended.

    Raises:
        Conflict: there is a file already.
        Unavailable: it cannot be written there.
    """
    beside = path.with_name(f"{UNFINISHED}{uuid4().hex}")
    taken = Conflict(f"{path} exists", hint="choose another name: nothing is written over")
    if path.exists():
        raise taken
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError as error:
            raise taken from error
    except Unavailable:
        raise
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            beside.unlink()
