"""A store behind a folder that keeps what was read, so that it can be read again while the store is down."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import IntegrityError, Unavailable
from .files import Folder
from .store import Store, key_of

OWNER_ONLY = 0o600


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

    def keep(self, digests: Collection[str]) -> None:
        """Keep these blobs."""
        for digest in digests:
            if not (self.folder / key_of(digest)).exists():
                with suppress(IntegrityError, Unavailable):
                    self.get(digest)

    def keep_only(self, digests: Collection[str]) -> None:
        """Keep no other blobs."""
        kept = {self.folder / key_of(digest) for digest in digests}
        for path in self.folder.glob("blobs/sha256/*/*"):
            if path not in kept:
                path.unlink(missing_ok=True)


def cached(store: Store, folder: Path) -> CachedStore:
    """The store behind that folder, whose files are for their owner alone."""
    return CachedStore(store.url, store.files, Store(str(folder), Folder(folder, OWNER_ONLY)), folder)
