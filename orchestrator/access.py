"""Opening the registry: for work that keeps what it does, and for a plan that must leave no trace."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import registry
from registry import Registry, Unavailable

from .settings import Settings
from .signer import configured


@contextmanager
def opened(settings: Settings, *, dry_run: bool = False) -> Iterator[Registry]:
    """The registry of these settings, closed afterwards."""
    if not dry_run:
        signer = configured(settings)
        with closing(Registry.open(settings.database_url, settings.store_url, signer=signer)) as there:
            yield there
        return
    revision = registry.current(settings.database_url)
    if revision is None:
        with _empty() as nothing:
            yield nothing
        return
    if revision != registry.head():
        raise Unavailable(
            f"the registry database is at revision {revision}, and a dry run does not upgrade it",
            hint="run: promptctl db upgrade",
        )
    with opened(settings) as there:
        yield there


@contextmanager
def _empty() -> Iterator[Registry]:
    # A registry that is not there yet answers like an empty one, and is still not there afterwards.
    with TemporaryDirectory(prefix="promptctl-plan-") as folder:
        url = f"sqlite:///{Path(folder) / 'registry.db'}"
        with closing(Registry.open(url, str(Path(folder) / "store"))) as nothing:
            yield nothing
