"""The registry as a whole: collected, checked, carried elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from .. import revisions
from ..database import Database, connect
from ..moving import packing, unpacking
from ..moving.packing import Packed
from ..moving.unpacking import Unpacked
from ..store import Store, open_store
from . import checking, collecting
from .checking import Health
from .collecting import Removed

GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Keeper:
    """Whoever keeps a database and a store in order."""

    database: Database
    store: Store

    @classmethod
    def open(cls, database_url: str, store_url: str) -> Self:
        """Open both as `Registry.open` does."""
        revisions.make_ready(database_url)
        return cls(Database(connect(database_url)), open_store(store_url))

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def collect(self, grace: timedelta = GRACE, *, dry_run: bool = False) -> list[Removed]:
        """Take away what nobody needs and nobody touched for the grace; safe beside publishers."""
        return collecting.collect(self.database, self.store, grace, dry_run=dry_run)

    def pack(self, path: Path, names: Sequence[str] = ()) -> Packed:
        """Write the registry, or some prompts and what they were made from, to one file."""
        return packing.pack(self.database, self.store, path, names)

    def unpack(self, path: Path, *, dry_run: bool = False) -> Unpacked:
        """Take in what such a file has and is not here."""
        return unpacking.unpack(self.database, self.store, path, dry_run=dry_run)

    def check(self) -> Health:
        """What there is, and what is wrong with it."""
        return checking.check(self.database, self.store)
