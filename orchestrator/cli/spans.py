"""Times on the command line: 12h, 30d, 8w."""

import re
from datetime import timedelta

import click

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Span(click.ParamType):
    """A time like 12h, 30d or 8w; 0h only where none at all makes sense."""

    name = "span"

    def __init__(self, *, none: bool = False) -> None:
        self._digits = "0|[1-9][0-9]{0,4}" if none else "[1-9][0-9]{0,4}"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(rf"({self._digits})([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time; write 12h, 30d or 8w", param, ctx)
        return timedelta(**{UNITS[found[2]]: int(found[1])})
