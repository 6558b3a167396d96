"""No file or network call inside a write transaction: it would hold the lock for as long as the store takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_writing: ContextVar[bool] = ContextVar("registry_writing", default=False)


@contextmanager
def write_open() -> Iterator[None]:
    """Mark a write transaction as open."""
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)


def refuse_inside_write(action: str) -> None:
    """Raise when the caller is about to leave the database with a write transaction open."""
    if _writing.get():
        raise RuntimeError(f"{action} inside a write transaction; do it before the transaction or after")
