"""Options from files: `./promptctl.toml` over the user's own `config.toml`, tables named like the commands."""

import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from ..errors import InvalidSpec

Options = dict[str, Any]
POLICY = "policy"  # a table of these files that holds no options: `promotion.policy` reads it


def files() -> tuple[Path, ...]:
    """The files there may be, the strongest last."""
    return user_config_path("promptctl") / "config.toml", Path("promptctl.toml")


def load(known: Collection[str]) -> Options:
    """Every configured option under its command's name."""
    merged: Options = {}
    for file in files():
        options = read(file)
        options.pop(POLICY, None)
        if strangers := sorted(set(options) - set(known)):
            raise InvalidSpec(f"{file}: no command named {', '.join(strangers)}; known: {', '.join(known)}")
        merged = _over(merged, options)
    return merged


def origin(path: Sequence[str]) -> str:
    """The strongest file that sets an option."""
    return next((str(file) for file in reversed(files()) if _at(read(file), path) is not None), "")


def read(file: Path) -> Options:
    """The options of one file; none when it is not there."""
    try:
        return _with_underscores(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{file} is not TOML: {error}") from error


def _at(options: Options, path: Sequence[str]) -> object:
    value: Any = options
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _with_underscores(table: Options) -> Options:
    return {
        key.replace("-", "_"): _with_underscores(value) if isinstance(value, dict) else value
        for key, value in table.items()
    }


def _over(below: Options, above: Options) -> Options:
    both = {
        key: _over(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return below | above | both
