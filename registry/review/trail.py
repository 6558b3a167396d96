"""Who did what, when and why: moves of aliases and lines of the ledger as one list."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..history import EVENTS
from ..models import EventRow
from .ledger import to_line
from .tables import LedgerRow


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did; `report` is the hash of the gate report that a move was made by."""

    at: datetime
    actor: str
    action: str
    object: str
    outcome: str
    forced: bool
    reason: str
    report: str | None
    hash: str


def entries(session: Session, limit: int) -> list[Entry]:
    """The newest so many, newest first."""
    moves = session.execute(EVENTS.order_by(EventRow.id.desc()).limit(limit))
    found = [_move(event, name) for event, name in moves]
    rows = session.scalars(select(LedgerRow).order_by(LedgerRow.id.desc()).limit(limit))
    found += [_line(row) for row in rows]
    return sorted(found, key=lambda entry: entry.at, reverse=True)[:limit]


def _move(event: EventRow, name: str) -> Entry:
    split = f", {event.percent}% {event.candidate}" if event.candidate else ""
    outcome = f"{event.old or 'nothing'} -> {event.new}{split}"
    return Entry(
        at=event.at,
        actor=event.actor,
        action=event.action,
        object=f"{name}@{event.alias}",
        outcome=outcome,
        forced=event.forced,
        reason=event.reason,
        report=event.report,
        hash=event.hash,
    )


def _line(row: LedgerRow) -> Entry:
    line = to_line(row)
    report = line.content if line.action == "gate" else None
    return Entry(
        at=line.at,
        actor=line.actor,
        action=line.action,
        object=line.object,
        outcome=line.outcome,
        forced=False,
        reason=line.reason,
        report=report,
        hash=row.hash,
    )
