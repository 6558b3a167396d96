"""Where corrections are handed in, lent out and settled: a buffer in memory, and a ledger of what became of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from typing import Protocol, TypeAlias

from ..config import ServeConfig
from ..routing.known import open_registry
from ..schemas import FeedbackStatus
from .buffer import FeedbackBuffer, Held, Lease, Limits, Outcome, Receipt
from .correction import Correction
from .ledger import Counts, Ledger

SWEEP_S = 1.0
COUNTED_S = 1.0  # how long an answer waits for the registry to hear of it
CLOSE_S = 5.0


class Desk(Protocol):
    """What the application asks, whichever process the corrections are held in."""

    async def accept(self, correction: Correction) -> Receipt:
        """Hold a correction."""
        ...

    async def lease(self, prompt: str, limit: int | None, per_label: int = 1) -> Lease | None:
        """Lend the oldest waiting corrections of a prompt, of labels that `per_label` or more name; None where none."""
        ...

    async def settle(self, lease: str, outcome: Outcome) -> int:
        """End a lease; the number of its corrections."""
        ...

    async def status(self) -> FeedbackStatus:
        """What is held, and what became of the rest."""
        ...


Opened: TypeAlias = Callable[[ServeConfig], AbstractAsyncContextManager[Desk]]


class OwnDesk:
    """A desk in this process. What it holds ends with it, and is counted as lost then, or by its successor."""

    def __init__(self, counts: Counts, config: ServeConfig, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._ledger = Ledger(counts, config.server, config.actor, limits.silent)
        self._buffer = FeedbackBuffer(self._ledger.step, limits)
        self._sweeping = asyncio.create_task(self._sweep())

    async def accept(self, correction: Correction) -> Receipt:
        """Hold a correction; it is counted first, if the registry answers.

        Raises:
            Overloaded: the buffer is full.
        """
        receipt = self._buffer.accept(correction)
        await self._ledger.counted(COUNTED_S)
        return receipt

    async def lease(self, prompt: str, limit: int | None, per_label: int = 1) -> Lease | None:
        """Lend the oldest waiting corrections of a prompt, of labels that `per_label` or more name; None where none."""
        return self._buffer.lease(prompt, limit, per_label)

    async def lent(self, lease: str) -> tuple[Held, ...]:
        """The rows of a lease.

        Raises:
            NotFound: there is no such lease.
        """
        return self._buffer.lent(lease)

    async def settle(self, lease: str, outcome: Outcome) -> int:
        """End a lease; the number of its corrections.

        Raises:
            NotFound, Invalid: there is no such lease, or it was settled otherwise.
        """
        n = self._buffer.settle(lease, outcome)
        await self._ledger.counted(COUNTED_S)
        return n

    async def status(self) -> FeedbackStatus:
        """What is held, and what became of the rest."""
        self._buffer.sweep()
        holdings, total = self._buffer.holdings(), self._ledger.total
        return FeedbackStatus(
            waiting=holdings.waiting.total(),
            waiting_by_prompt=dict(sorted(holdings.waiting.items())),
            leased=holdings.leased,
            nbytes=holdings.nbytes,
            accepted=total["accepted"],
            learned=total["learned"],
            dropped=total["dropped"],
            expired=total["expired"],
            lost=self._ledger.lost,
            uncounted=self._ledger.uncounted,
            uncounted_reason=self._ledger.reason,
        )

    async def open(self) -> None:
        """Count what former processes lost, if the registry answers."""
        await self._ledger.searched(COUNTED_S)

    async def close(self) -> None:
        """Lose what is held, and count that."""
        self._sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await self._sweeping
        self._buffer.close()
        await self._ledger.close(CLOSE_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._buffer.sweep()


@asynccontextmanager
async def held_here(config: ServeConfig) -> AsyncIterator[OwnDesk]:
    """A desk in this process for the time of the block."""
    registry, _ = await asyncio.to_thread(open_registry, config)
    with closing(registry):
        desk = OwnDesk(registry, config)
        try:
            await desk.open()
            yield desk
        finally:
            await desk.close()
