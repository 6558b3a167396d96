"""From a reference to the version that answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cachetools import LRUCache

from registry import Registry, RegistryError, Version
from registry.references import NONE, ByAlias, ByDigest, ByNumber, parse

from ..errors import Integrity, Invalid, Unavailable
from .snapshot import Alias, Served, Snapshot
from .split import arm

PINNED = 4096  # references to pinned versions whose version is remembered


class Router:
    """Aliases are looked up in the snapshot, pinned versions in the registry; neither ever falls back."""

    def __init__(
        self, registry: Registry, load: Callable[[Version], Awaitable[Served]], bare: Callable[[], Served]
    ) -> None:
        self._registry, self._load, self._bare = registry, load, bare
        self._pinned: LRUCache[str, Version] = LRUCache(PINNED)  # what they name never changes

    async def route(self, reference: str, snapshot: Snapshot, key: str | None = None) -> Served:
        """What answers for the reference; where its alias has a candidate, the arm that the key belongs to.

        Without a key it is the alias's own version.

        Raises:
            Invalid: it is no reference, names a shared prompt, or the bare backbone where that says nothing.
            RegistryError, MethodError, ServeError: nothing has that name, or its version cannot be served.
        """
        if reference == NONE:
            return self._bare()
        try:
            named = parse(reference)
        except RegistryError as error:
            raise Invalid("prompt is not a reference", hint=error.hint) from None
        if named.prompt.startswith("shared/"):
            raise Invalid(
                f"{reference} is a shared prompt: tasks start their training from it, and it answers nothing itself",
                hint="ask a task's own prompt",
            )
        if not isinstance(named, ByAlias):
            return await self._pinned_to(reference, named, snapshot)
        alias = named.prompt, named.alias
        if alias in snapshot.served:
            return await self._on_its_arm(alias, snapshot, key)
        if refusal := next((one for one in snapshot.refused if one.alias == alias), None):
            raise Integrity(f"{refusal.version.reference} is not served: {refusal.reason}")
        version = await self._resolve(reference)  # says what is missing, where something is
        raise Unavailable(f"{version.reference} is not loaded yet", hint="try again in a second")

    async def _pinned_to(self, reference: str, named: ByNumber | ByDigest, snapshot: Snapshot) -> Served:
        """A version for good; of a registry that is down, one that an alias names answers on."""
        if (version := self._pinned.get(reference)) is None:
            try:
                version = replace(await self._resolve(reference), card={})
            except RegistryError as error:
                if error.code != "unavailable" or (version := _named(named, snapshot)) is None:
                    raise
            if not isinstance(named, ByDigest) or named.start == version.digest:  # a shorter one may be another's too
                self._pinned[reference] = version
        return await self._load(version)

    async def _on_its_arm(self, alias: Alias, snapshot: Snapshot, key: str | None) -> Served:
        stable, split = snapshot.served[alias], snapshot.splits.get(alias)
        if split is None:
            return await self._load(stable.version)
        candidate = split.candidate
        if split.percent == 0:
            return replace(await self._load(stable.version), shadow=candidate)
        line = "@".join(alias)
        on = arm(line, candidate.version.digest, split.percent, key) if key is not None else "stable"
        return replace(await self._load((candidate if on == "candidate" else stable).version), arm=on)

    async def _resolve(self, reference: str) -> Version:
        return await asyncio.to_thread(self._registry.resolve, reference)


def _named(named: ByNumber | ByDigest, snapshot: Snapshot) -> Version | None:
    candidates = (split.candidate for split in snapshot.splits.values())
    for one in (*snapshot.served.values(), *candidates):
        version = one.version
        known = version.number == named.number if isinstance(named, ByNumber) else version.digest == named.start
        if known and version.name == named.prompt:
            return version
    return None
