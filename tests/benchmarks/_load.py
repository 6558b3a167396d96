"""A load generator for a process of its own: requests over kept connections, from callers who wait or who do not.

    with generator() as pool:
        report = pool.submit(send, Plan(url, bodies, clients=8)).result()

It imports neither torch nor us, parses in C, and reads no answer, so that it costs the machine little beside a server.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context

import uvloop

from ._connections import Target

OK = 200
LOST = 0  # the status of a request that got no answer


@dataclass(frozen=True)
class Plan:
    """Bodies to send in turn, and by whom.

    Without a rate, `clients` send the next one as soon as they have an answer, until `requests` or `seconds` are over.
    With a rate, requests come at random moments (a Poisson process), `burst` of them at once in the beginning, and
    none of them waits for another; `clients` is how many connections there are at the most.
    """

    url: str
    bodies: Sequence[bytes]
    clients: int
    requests: int | None = None
    seconds: float | None = None
    per_s: float | None = None
    burst: int = 0
    keep: bool = False  # the bodies of the answers
    token: str = ""


@dataclass(frozen=True)
class Asked:
    """One request: which of the bodies it had, when it was due, when its answer was there, and its status."""

    body: int
    due_s: float
    done_s: float
    status: int
    answer: bytes = b""

    @property
    def took_s(self) -> float:
        """Counted from when it was due, so that a generator that is late does not flatter the server."""
        return self.done_s - self.due_s


@dataclass(frozen=True)
class Report:
    """Every request of a plan, in the order of the answers."""

    asked: Sequence[Asked]
    seconds: float  # until the last answer

    @property
    def answered(self) -> Sequence[Asked]:
        """Those answered by 200."""
        return [one for one in self.asked if one.status == OK]

    @property
    def per_s(self) -> float:
        """Answers by 200 per second."""
        return len(self.answered) / self.seconds

    def within(self, since_s: float, until_s: float) -> float:
        """Answers by 200 per second of that time."""
        return sum(since_s <= one.done_s < until_s for one in self.answered) / (until_s - since_s)

    def statuses(self) -> dict[int, int]:
        """How many requests got each status."""
        found: dict[int, int] = {}
        for one in self.asked:
            found[one.status] = found.get(one.status, 0) + 1
        return dict(sorted(found.items()))


def generator() -> ProcessPoolExecutor:
    """A process that sends plans, one after the other."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def send(plan: Plan) -> Report:
    """Carry out a plan."""
    return uvloop.run(_send(plan))


async def _send(plan: Plan) -> Report:
    target = Target(plan.url, plan.clients, plan.token)
    asking = _Asking(target, [target.request(body) for body in plan.bodies], plan.keep, time.perf_counter())
    asked = await (_closed(plan, asking) if plan.per_s is None else _open(plan, asking))
    target.close()
    return Report(sorted(asked, key=lambda one: one.done_s), max((one.done_s for one in asked), default=0.0))


@dataclass(frozen=True)
class _Asking:
    """Requests to a server since a moment."""

    target: Target
    requests: Sequence[bytes]
    keep: bool
    began: float

    async def ask(self, body: int, due_s: float) -> Asked:
        try:
            status, answer = await self.target.ask(self.requests[body])
        except OSError:
            status, answer = LOST, b""
        return Asked(body, due_s, self.now_s, status, answer if self.keep else b"")

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self.began


async def _closed(plan: Plan, asking: _Asking) -> list[Asked]:
    bodies = islice(cycle(range(len(plan.bodies))), plan.requests)

    async def client() -> list[Asked]:
        asked: list[Asked] = []
        for body in bodies:
            if (due_s := asking.now_s) >= (plan.seconds or math.inf):
                break
            asked.append(await asking.ask(body, due_s))
        return asked

    return [one for each in await asyncio.gather(*(client() for _ in range(plan.clients))) for one in each]


async def _open(plan: Plan, asking: _Asking) -> list[Asked]:
    bodies = cycle(range(len(plan.bodies)))
    tasks = []
    async for due_s in _arrivals(plan, asking):
        tasks.append(asyncio.create_task(asking.ask(next(bodies), due_s)))
    return await asyncio.gather(*tasks)


async def _arrivals(plan: Plan, asking: _Asking) -> AsyncIterator[float]:
    """When requests are due, each when it is."""
    for _ in range(plan.burst):
        yield 0.0
    gaps, per_s = random.Random(0), plan.per_s or 1.0
    due_s = gaps.expovariate(per_s)
    while due_s < (plan.seconds or 0.0):
        await asyncio.sleep(max(0.0, due_s - asking.now_s))
        yield due_s
        due_s += gaps.expovariate(per_s)
