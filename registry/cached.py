"""A store behind a folder that keeps what was read, so that it can be read again while the store is down."""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import IntegrityError, Unavailable
from .files import Folder
from .store import Store, key_of

OWNER_ONLY = 0o600
YOUNG_S = 3600.0  # how long a blob stays that nobody named yet


@dataclass(frozen=True)
class CachedStore(Store):
    """Blobs by digest, from the folder where it has them whole, else from the store."""

    cache: Store
    folder: Path

    def get(self, digest: str) -> bytes:
        """The blob of a digest, hashed again wherever it comes from."""
        with suppress(IntegrityError, Unavailable):  # not kept, or damaged
            return self.cache.get(digest)
        blob = super().get(digest)
        with suppress(Unavailable):  # a disk that is full costs a start without the store, and nothing now
            self.cache.put(digest, blob)
        return blob

    def keep(self, digests: Collection[str]) -> bool:
        """Keep these blobs; whether all of them are there."""
        places = {digest: self.folder / key_of(digest) for digest in digests}
        for digest, place in places.items():
            if not place.exists():
                with suppress(IntegrityError, Unavailable):
                    self.get(digest)
        return all(place.exists() for place in places.values())

    def keep_only(self, digests: Collection[str]) -> None:
        """Keep no other blobs but those that were read from the store just now: somebody else may need them."""
        kept, now = {self.folder / key_of(digest) for digest in digests}, time.time()
        for path in self.folder.glob("blobs/sha256/*/*"):
            with suppress(FileNotFoundError):  # several servers may share the folder
                if path not in kept and now - path.stat().st_mtime > YOUNG_S:
                    path.unlink()


def cached(store: Store, folder: Path) -> CachedStore:
    """The store behind that folder, whose files are for their owner alone."""
    return CachedStore(store.url, store.files, Store(str(folder), Folder(folder, OWNER_ONLY)), folder)
