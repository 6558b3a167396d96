"""What can go wrong in the registry, by kind."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Self


class RegistryError(Exception):
    """An error of the registry: a message that says what happened and a hint that says what to do next."""

    code: ClassVar[str]

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Invalid(RegistryError, ValueError):
    """The request itself is malformed."""

    code = "invalid"


class NotFound(RegistryError, LookupError):
    """Nothing has that name, number, alias or digest."""

    code = "not_found"

    @classmethod
    def among(cls, known: Iterable[str], what: str, name: str) -> Self:
        """Nothing has that name; the hint says what comes close, or what there is."""
        names = list(known)
        if near := get_close_matches(name, names):
            hint = f"did you mean {' or '.join(near)}?"
        elif names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            hint = f"known {what}s: {', '.join(names[:10])}{more}"
        else:
            hint = f"there is no {what} yet"
        return cls(f"unknown {what} {name!r}", hint=hint)


class Conflict(RegistryError, RuntimeError):
    """The request contradicts what is already recorded, or somebody else was faster."""

    code = "conflict"


class Refused(RegistryError, RuntimeError):
    """Not enough people have approved it, or not those who have to."""

    code = "refused"


class RunExists(Conflict):
    """A run with that id was started before."""


class Unavailable(RegistryError, ConnectionError):
    """The database or the store does not answer, or the database is at another revision."""

    code = "unavailable"


class IntegrityError(RegistryError, RuntimeError):
    """Stored bytes or events are not the ones that were recorded."""

    code = "integrity"
