"""Artifacts in memory, by digest: loaded once, checked once, dropped when their bytes are needed."""

import asyncio
import time
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

from cachetools import LRUCache

from methods import Artifact, Backbone, Card, SoftPrompt, Task
from methods.runtime.precomputed import exact, leads, precomputed
from registry import Registry

from ..errors import Invalid, Unavailable
from ..metrics.observer import SILENT, Observer
from .apart import apart
from .fit import check_fit

BYTES = 1 << 30
AT_ONCE = 32  # loads, of which some may hang
LOAD_S = 60.0  # after which a load is given up

Held: TypeAlias = tuple[Artifact, Task]


class Bank:
    """The least recently asked-for artifacts leave first. Lives on one event loop; loading happens in threads."""

    def __init__(
        self, registry: Registry, backbone: Backbone, max_bytes: int = BYTES, observer: Observer = SILENT
    ) -> None:
        self._registry, self._backbone, self._observer = registry, backbone, observer
        self._held: LRUCache[str, Held] = LRUCache(max_bytes, getsizeof=lambda held: held[0].nbytes)
        self._loading: dict[str, asyncio.Task[Held]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors held."""
        return int(self._held.currsize)

    async def get(self, digest: str) -> Held:
        """The artifact of a digest and its task; many who ask at once share one load.

        Raises:
            RegistryError, MethodError: its bytes are missing or damaged, or it was trained on another backbone.
            Invalid: it has no task, so there is nothing that it could answer.
            Integrity: its form or its head does not fit the backbone.
        Unavailable: the store does not give it in time.
        """
        if (held := self._held.get(digest)) is not None:
            self._observer.found()
            return held
        if (loading := self._loading.get(digest)) is None:
            loading = asyncio.create_task(self._loaded(digest))
            self._loading[digest] = loading
            loading.add_done_callback(lambda done: self._keep(digest, done))
        return await asyncio.shield(loading)

    async def _loaded(self, digest: str) -> Held:
        async with self._places:
            try:
                return await apart(lambda: self._load(digest), LOAD_S)
            except TimeoutError as error:
                raise Unavailable(f"the store did not give it within {LOAD_S:g} s", hint="see /v1/status") from error

    def _load(self, digest: str) -> Held:
        started = time.perf_counter()
        artifact = Artifact.from_bytes(self._registry.fetch_digest(digest))
        artifact.check_backbone(self._backbone.fingerprint)
        task = artifact.card.task
        if task is None or artifact.head is None:
            raise Invalid(f"{artifact.card.name!r} belongs to no task and answers nothing")
        check_fit(artifact.form, artifact.head, task, self._backbone)
        held = self._quicker(self._slim(artifact)), task
        self._observer.loaded(time.perf_counter() - started)
        return held

    def _slim(self, artifact: Artifact) -> Artifact:
        """What answering takes of it; what its card says of its making is in the registry."""
        card = Card(artifact.card.name, artifact.card.task, artifact.card.method, {}, self._backbone.fingerprint)
        return replace(artifact.to(self._backbone.device), card=card)

    def _quicker(self, artifact: Artifact) -> Artifact:
        """With a soft prompt's keys and values in its place, where every text reads them as it reads the vectors."""
        form = artifact.form
        opens = getattr(artifact.head, "pooling", None) == "opening"  # reads a virtual token, of which nothing is left
        if isinstance(form, SoftPrompt) and not opens and leads(self._backbone, form) and self._exact:
            return replace(artifact, form=precomputed(self._backbone, form))
        return artifact

    @cached_property
    def _exact(self) -> bool:
        return exact(self._backbone)

    def _keep(self, digest: str, done: asyncio.Task[Held]) -> None:
        del self._loading[digest]
        if done.cancelled() or done.exception() is not None:
            self._observer.failed()
            return
        held = done.result()
        if held[0].nbytes <= self._held.maxsize:
            self._held[digest] = held
