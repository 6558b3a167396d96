"""Versions that answer only if somebody signed them: asked of the registry when one is loaded, and once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cachetools import LRUCache

from registry import Registry, Unavailable, Version
from registry.signing.records import Signed
from registry.signing.verification import check

from ..errors import Integrity

CHECKED = 4096


@dataclass(frozen=True)
class Required:
    """Patterns of the prompts whose versions have to be signed, and the public keys that count; none: all known."""

    prompts: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


class Signatures:
    """Checks versions of the prompts that have to be signed. What has passed is not checked again while it is held.

    Of a registry that does not answer, what is `known` from an earlier start counts: it was signed, so that nobody
    can have changed it since.
    """

    def __init__(self, registry: Registry, required: Required, known: Mapping[str, Signed]) -> None:
        self._registry, self._required, self._known = registry, required, known
        self._passed: LRUCache[tuple[str, str], Signed] = LRUCache(CHECKED)

    async def check(self, version: Version) -> Signed | None:
        """What shows that this version was signed; nothing for one that need not be.

        Raises:
            IntegrityError: it is not signed by a key that counts, or was changed.
            Unavailable: the registry does not answer, and nothing is known of it.
        """
        if not any(fnmatchcase(version.name, pattern) for pattern in self._required.prompts):
            return None
        named = version.reference, version.digest
        if named not in self._passed:
            signed = await asyncio.to_thread(self._ask, version)
            if (signed.statement.reference, signed.statement.digest) != named:
                raise Integrity(f"the signatures are those of {signed.statement.reference}, not of {version.reference}")
            await asyncio.to_thread(check, signed, self._required.trusted)
            self._passed[named] = signed
        return self._passed[named]

    def _ask(self, version: Version) -> Signed:
        try:
            return self._registry.signatures.of(version)
        except Unavailable:
            if (signed := self._known.get(version.reference)) is None:
                raise
            return signed
