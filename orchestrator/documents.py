"""A TOML file that somebody wrote: read, or refused with what is wrong with it."""

import tomllib
from pathlib import Path
from typing import Any

from .errors import InvalidSpec, SourceNotFound


def document(file: Path) -> dict[str, Any]:
    """The file's tables.

    Raises:
        SourceNotFound: there is none.
        InvalidSpec: it is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceNotFound(f"no such file: {file}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InvalidSpec(f"{file} is not TOML: {error}") from error
