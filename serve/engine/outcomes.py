"""What came out for a row: numbers that are checked, or an error that says which row it lies in."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from methods import MethodError, Output
from registry import RegistryError, Version

from ..errors import KINDS, Failed, Integrity, ServeError


def checked(version: Version, output: Output | BaseException) -> Output:
    """The numbers.

    Raises:
        ServeError: there are none, or one of them is not finite.
    """
    match output:
        case ServeError():
            raise output
        case BaseException():
            raise Failed(f"{version.reference} failed on it ({type(output).__name__})")
        case _ if not np.isfinite(output).all():
            raise Integrity(f"{version.reference} answers with a number that is not finite")
        case _:
            return output


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say where an error lies; of a registry that is down, only that it is."""
    try:
        yield
    except (RegistryError, MethodError, ServeError) as error:
        kind = KINDS.get(error.code, Failed)
        if isinstance(error, RegistryError) and error.code == "unavailable":
            raise kind(f"{where}: the registry does not answer", hint="see /v1/status") from error
        raise kind(f"{where}: {error}", hint=error.hint) from error
