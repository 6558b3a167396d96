"""The desk of several replicas: one Ray actor, which nothing restarts and which writes no log."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Any

from ..config import ServeConfig
from ..errors import Failed, ServeError, Unavailable
from ..schemas import FeedbackStatus
from .buffer import Held, Lease, Outcome, Receipt
from .correction import LARGEST, Correction
from .desk import OwnDesk, held_here

NAME = "promptctl-feedback"
STOP_S = 15


class Holder:
    """The actor. Errors leave it as values, because Ray writes those that are raised into its logs.

    Rows on loan leave it in pieces that Ray passes by value: what is larger would lie in its object store, which may
    spill to disk.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[OwnDesk] | None = None

    async def ask(self, what: str, *given: Any) -> Any:
        """What the desk answers, or the error that it raises."""
        try:
            return await getattr(await self._desk(), what)(*given)
        except Exception as error:  # noqa: BLE001 - Ray would log it, and it might quote a row
            return error if isinstance(error, ServeError) else _unforeseen(error)

    async def lend(self, prompt: str, limit: int | None, per_label: int) -> Any:
        """A lease without its rows, which `rows` hands out, or an error."""
        lease = await self.ask("lease", prompt, limit, per_label)
        return replace(lease, rows=()) if isinstance(lease, Lease) else lease

    async def rows(self, lease: str, start: int) -> Any:
        """The next rows of a lease, none after the last one, or an error."""
        lent = await self.ask("lent", lease)
        return lent if isinstance(lent, ServeError) else _piece(lent[start:])

    async def close(self) -> None:
        """Lose what is held, and count that."""
        await self._stack.aclose()

    async def _desk(self) -> OwnDesk:
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._stack.enter_async_context(held_here(self._config)))
        return await asyncio.shield(self._opening)


class SharedDesk:
    """A replica's way to the actor; where that has died, a new one is made, which counts what the old one lost."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._actor = _actor(config)

    async def accept(self, correction: Correction) -> Receipt:
        """Hold a correction."""
        return await self._ask("ask", "accept", correction)

    async def lease(self, prompt: str, limit: int | None, per_label: int = 1) -> Lease | None:
        """Lend the oldest waiting corrections of a prompt, of labels that `per_label` or more name; None where none."""
        lease: Lease | None = await self._ask("lend", prompt, limit, per_label)
        if lease is None:
            return None
        rows: list[Held] = []
        while piece := await self._ask("rows", lease.id, len(rows)):
            rows += piece
        return replace(lease, rows=tuple(rows))

    async def settle(self, lease: str, outcome: Outcome) -> int:
        """End a lease; the number of its corrections."""
        return await self._ask("ask", "settle", lease, outcome)

    async def status(self) -> FeedbackStatus:
        """What is held, and what became of the rest."""
        try:
            return await self._ask("ask", "status")
        except Unavailable:
            return await self._ask("ask", "status")

    async def _ask(self, method: str, *given: Any) -> Any:
        from ray.exceptions import RayActorError

        try:
            answer = await getattr(self._actor, method).remote(*given)
        except RayActorError:
            self._actor = _actor(self._config)
            raise Unavailable(
                "the process that held the corrections has ended, and they are lost", hint="try again in a second"
            ) from None
        if isinstance(answer, ServeError):
            raise answer
        return answer


@asynccontextmanager
async def shared(config: ServeConfig) -> AsyncIterator[SharedDesk]:
    """The desk that every replica of this cluster shares; it outlives the block."""
    yield SharedDesk(config)


def close() -> None:
    """End the shared desk, if there is one, and have it count what it still held."""
    import ray
    from ray.exceptions import RayError

    try:
        actor = ray.get_actor(NAME, namespace=NAME)
    except ValueError:
        return
    with suppress(RayError):  # it has died, or the registry does not answer: its successor counts
        ray.get(actor.close.remote(), timeout=STOP_S)
    ray.kill(actor)


def _actor(config: ServeConfig) -> Any:
    import ray

    # detached, so that it outlives the replica that comes first; it ends with the cluster
    options = ray.remote(Holder).options(
        name=NAME, namespace=NAME, get_if_exists=True, lifetime="detached", max_restarts=0, num_cpus=0
    )
    return options.remote(config)


def _piece(rows: Sequence[Held]) -> tuple[Held, ...]:
    """The first rows, as many as Ray passes by value, which goes by their pickled size; one at least."""
    sizes = accumulate(len(pickle.dumps(held)) for held in rows)
    fitting = sum(1 for _ in takewhile(lambda size: size <= LARGEST, sizes))
    return tuple(rows[: max(fitting, 1)])


def _unforeseen(error: Exception) -> ServeError:
    code = getattr(error, "code", None)
    if code == "unavailable":
        return Unavailable("the registry does not answer", hint="see /v1/status")
    return Failed(f"the desk of corrections failed ({type(error).__name__})")
