"""From a reference to the version that answers."""

import asyncio
from collections.abc import Awaitable, Callable

from cachetools import LRUCache

from registry import Registry, RegistryError, Version
from registry.references import ByAlias, parse

from .errors import Integrity, Invalid, Unavailable
from .snapshot import Served, Snapshot

PINNED = 4096  # references to pinned versions whose version is remembered


class Router:
    """Aliases are looked up in the snapshot, pinned versions in the registry; neither ever falls back."""

    def __init__(self, registry: Registry, bring: Callable[[Version], Awaitable[Served]]) -> None:
        self._registry, self._bring = registry, bring
        self._pinned: LRUCache[str, Version] = LRUCache(PINNED)  # what they name never changes

    async def route(self, reference: str, snapshot: Snapshot) -> Served:
        """What answers for the reference.

        Raises:
            Invalid: it is no reference, or names a shared prompt.
            RegistryError, MethodError, ServeError: nothing has that name, or its version cannot be served.
        """
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
            return await self._bring(await self._version(reference))
        alias = named.prompt, named.alias
        if alias in snapshot.served:
            return snapshot.served[alias]
        if refusal := snapshot.refused.get(alias):
            raise Integrity(f"{refusal.version.reference} failed its checks: {refusal.reason}")
        version = await self._resolve(reference)  # says what is missing, where something is
        raise Unavailable(f"{version.reference} is not loaded yet", hint="try again in a second")

    async def _version(self, reference: str) -> Version:
        if reference not in self._pinned:
            self._pinned[reference] = await self._resolve(reference)
        return self._pinned[reference]

    async def _resolve(self, reference: str) -> Version:
        return await asyncio.to_thread(self._registry.resolve, reference)
