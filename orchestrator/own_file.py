"""A file for its owner alone, made once: a secret that is never written over."""

import os
from pathlib import Path

from .errors import InvalidSpec


def write_new(file: Path, content: bytes) -> None:
    """Write it, durably, with the mode 0600.

    Raises:
        InvalidSpec: there is such a file.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidSpec(f"{file} is there already", hint="choose another, or move it away") from None
    with open(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
