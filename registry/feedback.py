"""Feedback as numbers: how many corrections each version got, and what became of them; never what they say.

A buffer is the memory of one process. What it accepted and has not settled is waiting, or was lost with the process.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from .database import locked
from .models import BufferRow, FeedbackRow, PromptRow, VersionRow
from .prompts import known_prompt

Kind = Literal["accepted", "learned", "dropped", "expired", "lost"]
UNSETTLED = func.sum(case((FeedbackRow.kind == "accepted", FeedbackRow.n), else_=-FeedbackRow.n))


@dataclass(frozen=True)
class Buffer:
    """A buffer's id, and the server that it belongs to: at most one process is that server at a time."""

    id: str
    owner: str


@dataclass(frozen=True)
class FeedbackCount:
    """So many corrections of a version that took a step; a buffer numbers its counts from 1."""

    sequence: int
    version_id: int
    kind: Kind
    n: int
    at: datetime


@dataclass(frozen=True)
class FeedbackTotal:
    """What became of the corrections of a version; `unsettled` are those that wait, or train, in some process."""

    name: str
    number: int
    accepted: int
    learned: int
    dropped: int
    expired: int
    lost: int
    unsettled: int
    last_at: datetime

    @property
    def reference(self) -> str:
        """The version."""
        return f"{self.name}:{self.number}"


def record(session: Session, buffer: Buffer, counts: Sequence[FeedbackCount], actor: str) -> None:
    """Add the counts that are not there yet; of a version, no more is settled than was accepted and is unsettled."""
    _locked(session, buffer)
    asked = [count.sequence for count in counts]
    known = select(FeedbackRow.sequence).where(FeedbackRow.buffer_id == buffer.id, FeedbackRow.sequence.in_(asked))
    recorded = set(session.scalars(known))
    unsettled = _unsettled(session, buffer.id)
    for count in counts:
        if count.sequence in recorded:
            continue
        accepted = count.kind == "accepted"
        n = count.n if accepted else min(count.n, unsettled[count.version_id])
        unsettled[count.version_id] += n if accepted else -n
        if n > 0:
            session.add(_row(buffer.id, count.sequence, count.version_id, count.kind, n, actor, count.at))


def lose(session: Session, buffer: Buffer, silent_since: datetime, actor: str) -> int:
    """Settle as lost what is left of the buffers whose process is gone; the number of corrections.

    Gone are the processes that were this buffer's server before it, and those that have counted nothing since
    `silent_since`, after which nothing may still be held.
    """
    now = datetime.now(UTC)
    query = (
        select(BufferRow.id)
        .join(FeedbackRow, FeedbackRow.buffer_id == BufferRow.id)
        .where(BufferRow.id != buffer.id)
        .group_by(BufferRow.id, BufferRow.owner)
        .having(UNSETTLED > 0, or_(BufferRow.owner == buffer.owner, func.max(FeedbackRow.at) < silent_since))
        .order_by(BufferRow.id)
    )
    lost = 0
    for former in session.scalars(query).all():
        _locked(session, Buffer(former, ""))
        lowest = session.scalar(select(func.min(FeedbackRow.sequence)).where(FeedbackRow.buffer_id == former)) or 0
        left = {version: n for version, n in _unsettled(session, former).items() if n > 0}
        for below, (version_id, n) in enumerate(left.items(), 1):  # below 1, which the buffer itself never uses
            session.add(_row(former, min(lowest, 1) - below, version_id, "lost", n, actor, now))
        lost += sum(left.values())
    return lost


def totals(session: Session, name: str | None) -> list[FeedbackTotal]:
    """What became of the corrections of each version that got any, by name and number."""
    kinds: tuple[Kind, ...] = ("accepted", "learned", "dropped", "expired", "lost")
    sums = [func.sum(case((FeedbackRow.kind == kind, FeedbackRow.n), else_=0)) for kind in kinds]
    query = (
        select(PromptRow.name, VersionRow.number, *sums, UNSETTLED, func.max(FeedbackRow.at))
        .join(VersionRow, VersionRow.prompt_id == PromptRow.id)
        .join(FeedbackRow, FeedbackRow.version_id == VersionRow.id)
        .group_by(PromptRow.name, VersionRow.number)
        .order_by(PromptRow.name, VersionRow.number)
    )
    if name is not None:
        query = query.where(PromptRow.id == known_prompt(session, name).id)
    rows = map(tuple, session.execute(query))
    return [FeedbackTotal(name, number, *map(int, sums), last_at=at) for name, number, *sums, at in rows]


def _locked(session: Session, buffer: Buffer) -> BufferRow:
    """The buffer's row; whoever counts for a buffer holds it until the transaction ends."""
    query = select(BufferRow).where(BufferRow.id == buffer.id)
    return locked(session, query, lambda: BufferRow(id=buffer.id, owner=buffer.owner, opened_at=datetime.now(UTC)))


def _unsettled(session: Session, buffer_id: str) -> Counter[int]:
    """How many corrections of each version a buffer accepted and did not settle."""
    query = select(FeedbackRow.version_id, UNSETTLED).where(FeedbackRow.buffer_id == buffer_id)
    rows = session.execute(query.group_by(FeedbackRow.version_id).order_by(FeedbackRow.version_id))
    return Counter({version_id: int(n) for version_id, n in rows})


def _row(buffer_id: str, sequence: int, version_id: int, kind: Kind, n: int, actor: str, at: datetime) -> FeedbackRow:
    return FeedbackRow(
        buffer_id=buffer_id, sequence=sequence, version_id=version_id, kind=kind, n=n, actor=actor, at=at
    )
