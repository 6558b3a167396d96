"""Corrections in memory and nowhere else: held for a time, lent to the trainer, and let go."""

import math
import secrets
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from cachetools import LRUCache

from registry.feedback import Kind

from ..errors import Invalid, NotFound, Overloaded
from .correction import Correction

Outcome = Literal["learned", "returned", "dropped"]

LONGEST_RETRY_S = 60
REMEMBERED = 256  # settled leases; settling one of them again changes nothing


@dataclass(frozen=True)
class Limits:
    """How much is held, until when, and for how long a lease is given."""

    rows: int = 4096
    nbytes: int = 16 << 20
    held: timedelta = timedelta(hours=24)
    leased: timedelta = timedelta(minutes=30)

    @property
    def silent(self) -> timedelta:
        """How long after its last count a buffer certainly holds nothing."""
        return self.held + 2 * self.leased


@dataclass(frozen=True)
class Receipt:
    """Until when an accepted correction is held, and how many of its prompt wait now, this one among them."""

    held_until: datetime
    waiting: int


@dataclass(frozen=True)
class Held:
    """A correction, until when it is held, the lease that it is part of, and one of its that timed out."""

    correction: Correction
    until: datetime
    lease: str | None = None
    overdue: str | None = None


@dataclass(frozen=True)
class Lease:
    """Corrections on loan to a trainer; those not settled by `until` wait again."""

    id: str
    until: datetime
    rows: tuple[Held, ...]


@dataclass(frozen=True)
class Holdings:
    """How much is held now."""

    waiting: Counter[str]  # by prompt
    leased: int
    nbytes: int


def _read(correction: Correction) -> Hashable:
    """Its texts as the model reads them; without that, as most models do: without case, and with single spaces."""
    return correction.read or tuple(
        (name, " ".join(text.casefold().split())) for name, text in sorted(correction.fields.items())
    )


def _now() -> datetime:
    return datetime.now(UTC)


class FeedbackBuffer:
    """A bounded buffer: waiting -> leased -> learned or dropped, or waiting again; whatever is in it may expire.

    Nothing is pushed out: a full buffer refuses. Once the time of a correction is up its text is gone, on loan or not;
    only the loan's outcome is still awaited. Rows of a lease that timed out are lent again together and under its name,
    so that a trainer that learned them, and could not say so, does not learn them twice. Every step is told to `step`
    with the version's id. Lives on one event loop.
    """

    def __init__(
        self, step: Callable[[int, Kind], None], limits: Limits | None = None, clock: Callable[[], datetime] = _now
    ) -> None:
        self.limits = limits or Limits()
        self._step, self._clock = step, clock
        self._held: dict[int, Held] = {}  # by number, in the order they came
        self._leases: dict[str, datetime] = {}
        self._settled: LRUCache[str, tuple[Outcome, int]] = LRUCache(REMEMBERED)
        self._next = 0

    def holdings(self) -> Holdings:
        """How much is held now."""
        held = self._held.values()
        waiting = Counter(one.correction.prompt for one in held if one.lease is None)
        return Holdings(waiting, len(held) - waiting.total(), sum(one.correction.nbytes for one in held))

    def accept(self, correction: Correction) -> Receipt:
        """Hold a correction.

        Raises:
            Overloaded: the buffer is full.
        """
        self.sweep()
        holdings = self.holdings()
        if len(self._held) >= self.limits.rows or holdings.nbytes + correction.nbytes > self.limits.nbytes:
            self._refuse(holdings.nbytes)
        until = (self._clock() + self.limits.held).replace(microsecond=0)  # no later than what is said
        self._held[self._next] = Held(correction, until)
        self._next += 1
        self._step(correction.version_id, "accepted")
        return Receipt(until, holdings.waiting[correction.prompt] + 1)

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> Lease | None:
        """Lend the oldest waiting corrections of a prompt, of labels that `per_label` different ones or more name.

        None where there are none. What was lent before and is overdue comes first, all of it.
        """
        self.sweep()
        of = {n: one for n, one in self._held.items() if one.lease is None and one.correction.prompt == prompt}
        lease = next((held.overdue for held in of.values() if held.overdue), None)
        if lease is not None:
            waiting = [n for n, held in of.items() if held.overdue == lease]
        else:
            different = {(held.correction.label, _read(held.correction)) for held in of.values()}
            named = Counter(label for label, _ in different)
            waiting = [n for n, held in of.items() if named[held.correction.label] >= per_label][:limit]
        if not waiting:
            return None
        lease = lease or secrets.token_hex(16)
        self._leases[lease] = self._clock() + self.limits.leased
        for number in waiting:
            self._held[number] = replace(self._held[number], lease=lease, overdue=None)
        return Lease(lease, self._leases[lease], self.lent(lease))

    def lent(self, lease: str) -> tuple[Held, ...]:
        """The rows of a lease, without the text of those whose time is up.

        Raises:
            NotFound: there is no such lease, or it has timed out.
        """
        if lease not in self._leases:
            raise NotFound("no such lease, or it has timed out", hint="lease the rows again")
        return tuple(held for held in self._held.values() if held.lease == lease)

    def settle(self, lease: str, outcome: Outcome) -> int:
        """End a lease; the number of its corrections. Saying the same again changes nothing.

        Raises:
            NotFound: there is no such lease, or it has timed out.
            Invalid: it was settled with another outcome.
        """
        self.sweep()
        if (before := self._settled.get(lease)) is not None:
            if before[0] != outcome:
                raise Invalid(f"the lease was settled as {before[0]} already")
            return before[1]
        n = len(self.lent(lease))
        self._end(lease, outcome)
        self.sweep()
        self._settled[lease] = outcome, n
        return n

    def sweep(self) -> None:
        """Let go of what is over: leases first, then texts."""
        now = self._clock()
        for lease in [lease for lease, until in self._leases.items() if until <= now]:
            self._end(lease, "returned", overdue=lease)
        for number, held in [(number, held) for number, held in self._held.items() if held.until <= now]:
            if held.lease is None:
                self._let_go(number, "expired")
            else:
                self._held[number] = replace(held, correction=held.correction.emptied())

    def close(self) -> None:
        """Lose everything that is left."""
        self._leases.clear()
        for number in list(self._held):
            self._let_go(number, "lost")

    def _end(self, lease: str, outcome: Outcome, overdue: str | None = None) -> None:
        del self._leases[lease]
        for number in [number for number, held in self._held.items() if held.lease == lease]:
            if outcome == "returned":
                self._held[number] = replace(self._held[number], lease=None, overdue=overdue)
            else:
                self._let_go(number, outcome)

    def _let_go(self, number: int, kind: Kind) -> None:
        self._step(self._held.pop(number).correction.version_id, kind)

    def _refuse(self, nbytes: int) -> None:
        now = self._clock()
        over = min([*(held.until for held in self._held.values()), *self._leases.values()], default=now)
        wait_s = min(max(math.ceil((over - now).total_seconds()), 1), LONGEST_RETRY_S)
        raise Overloaded(
            f"{len(self._held)} corrections with {nbytes} bytes are held already; the server holds"
            f" {self.limits.rows} with {self.limits.nbytes} bytes",
            retry_after_s=wait_s,
            hint=f"have them learned, or try again in {wait_s} s",
        )
