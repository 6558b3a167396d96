"""Delivering what waits in the outbox: at least once, from as many processes as one likes.

A message is claimed for a time, sent, and marked. Who dies on the way leaves it to whoever looks when that time is
over, so it may come twice, with the same id; it is given up only with its webhook.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from registry.webhooks.outbox import Delivery, Outcome
from registry.webhooks.webhooks import Webhooks

from .addresses import Network
from .errors import SealBroken
from .seal import Seal
from .sending import DEADLINE_S, Pool, connections, send

BATCH = 16
LEASE = timedelta(seconds=4 * DEADLINE_S)
LOOK_S = 1.0  # between two looks at an outbox in which nothing waits
FIRST_S, LONGEST_S = 2.0, 3600.0  # until a message is tried again: twice as long each time


@dataclass(frozen=True)
class Deliverer:
    """Sends what waits."""

    webhooks: Webhooks
    seal: Seal
    allowed: tuple[Network, ...] = ()
    lease: timedelta = LEASE

    def once(self, say: Callable[[Delivery, Outcome], None]) -> int:
        """Try everything whose time has come; how many messages were delivered."""
        return asyncio.run(self._all(say))

    def watch(self, say: Callable[[Delivery, Outcome], None]) -> None:
        """Try everything again and again, until interrupted."""
        asyncio.run(self._always(say))

    async def _always(self, say: Callable[[Delivery, Outcome], None]) -> None:
        while True:
            await self._all(say)
            await asyncio.sleep(LOOK_S)

    async def _all(self, say: Callable[[Delivery, Outcome], None]) -> int:
        delivered = 0
        while claimed := await asyncio.to_thread(self.webhooks.claim, BATCH, self.lease):
            async with connections(self.allowed) as pool:
                outcomes = await asyncio.gather(*(self._try(pool, one) for one in claimed))
            delivered += sum(outcome.delivered for outcome in outcomes)
            for delivery, outcome in zip(claimed, outcomes, strict=True):
                say(delivery, outcome)
        return delivered

    async def _try(self, pool: Pool, delivery: Delivery) -> Outcome:
        try:
            secret = self.seal.open(delivery.sealed)
        except SealBroken as error:
            outcome = Outcome(fault=str(error))
        else:
            outcome = await send(pool, delivery.url, delivery.id, delivery.body, secret)
        await asyncio.to_thread(self.webhooks.settle, delivery, outcome, pause(delivery.attempt))
        return outcome


def pause(attempt: int, chance: Callable[[], float] = random.random) -> timedelta:
    """How long after that attempt the next one is: between half and all of a time that doubles up to an hour."""
    longest = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt - 1, 32))
    return timedelta(seconds=longest * (0.5 + 0.5 * chance()))
