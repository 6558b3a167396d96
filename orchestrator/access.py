"""Opening the registry: for work that keeps what it does, and for a plan that must leave no trace."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, Self, TypeVar, overload

import registry
from registry import Registry, Unavailable

from .settings import Settings
from .signer import configured


class Opened(Protocol):
    """What works on a database and a store."""

    @classmethod
    def open(cls, database_url: str, store_url: str) -> Self:
        """Open both."""
        ...

    def close(self) -> None:
        """Close both."""
        ...


Kind = TypeVar("Kind", bound=Opened)


@overload
def opened(settings: Settings, *, dry_run: bool = False) -> AbstractContextManager[Registry]: ...
@overload
def opened(settings: Settings, *, dry_run: bool = False, kind: type[Kind]) -> AbstractContextManager[Kind]: ...
@contextmanager
def opened(settings: Settings, *, dry_run: bool = False, kind: type[Opened] = Registry) -> Iterator[Opened]:
    """The registry of these settings, or what keeps it, closed afterwards."""
    if not dry_run:
        with closing(_opened(settings, kind)) as there:
            yield there
        return
    revision = registry.current(settings.database_url)
    if revision is None:
        with _empty(kind) as nothing:
            yield nothing
        return
    if revision != registry.head():
        raise Unavailable(
            f"the registry database is at revision {revision}, and a dry run does not upgrade it",
            hint="run: promptctl db upgrade",
        )
    with opened(settings, kind=kind) as there:
        yield there


def _opened(settings: Settings, kind: type[Opened]) -> Opened:
    if kind is Registry:  # what publishes may sign
        return Registry.open(settings.database_url, settings.store_url, signer=configured(settings))
    return kind.open(settings.database_url, settings.store_url)


@contextmanager
def _empty(kind: type[Opened]) -> Iterator[Opened]:
    # A registry that is not there yet answers like an empty one, and is still not there afterwards.
    with TemporaryDirectory(prefix="promptctl-plan-") as folder:
        url = f"sqlite:///{Path(folder) / 'registry.db'}"
        with closing(kind.open(url, str(Path(folder) / "store"))) as nothing:
            yield nothing
