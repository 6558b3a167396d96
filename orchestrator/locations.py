"""Where a file of rows is: a path or an fsspec URL."""

import os
import re
from pathlib import Path, PurePosixPath

DISK_CACHES = {"simplecache", "filecache", "blockcache"}


def is_url(file: str) -> bool:
    """Whether fsspec, and not the file system at hand, opens it."""
    return "://" in file or "::" in file


def public(file: str) -> str:
    """Its name without what a URL may carry to open it: user, password, signature."""
    return re.sub(r"(?<=//)[^/@]*@", "", file).split("?")[0] if is_url(file) else file


def suffix(file: str) -> str:
    """The format its name ends in, such as `jsonl`."""
    return PurePosixPath(public(file).lower()).suffix.removeprefix(".")


def copies_to_disk(file: str) -> bool:
    """Whether opening it leaves a copy of the rows on this disk."""
    return bool(DISK_CACHES & set(re.findall(r"(\w+)(?:::|://)", file)))


def absolute(file: str, folder: Path) -> str:
    """A path seen from `folder`; a URL stays as it is."""
    return file if is_url(file) else os.path.abspath(folder / Path(file).expanduser())
