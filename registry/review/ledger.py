"""The ledger: what was done beside moving aliases, each line chained to the one before it by hash."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..canonical import hash_of
from ..errors import IntegrityError
from .tables import LedgerHeadRow, LedgerRow

LedgerAction = Literal["gate", "approve", "token create", "token revoke"]


@dataclass(frozen=True)
class Line:
    """What is written down: an action of `actor` on `object`, and the hash of the row that it left."""

    action: LedgerAction
    object: str
    outcome: str
    actor: str
    reason: str
    at: datetime
    content: str


def append(session: Session, line: Line) -> None:
    """Add a line, in the transaction of what it says."""
    head = session.get_one(LedgerHeadRow, 1, with_for_update=True, populate_existing=True)
    head.hash = hash_of_line(line, previous := head.hash)
    session.add(LedgerRow(**vars(line), previous=previous, hash=head.hash))
    session.flush()


def lines(session: Session) -> list[tuple[int, Line]]:
    """Every line with its number, the chain checked on the way.

    Raises:
        IntegrityError: a line was edited, dropped or cut off.
    """
    previous, found = "", []
    for row in session.scalars(select(LedgerRow).order_by(LedgerRow.id)):
        line = to_line(row)
        if row.previous != previous or row.hash != hash_of_line(line, previous):
            raise IntegrityError(f"the ledger is broken at line {row.id} ({row.action} of {row.object})")
        previous = row.hash
        found.append((row.id, line))
    if session.get_one(LedgerHeadRow, 1).hash != previous:
        raise IntegrityError(f"the ledger was cut off after {len(found)} lines")
    return found


def to_line(row: LedgerRow) -> Line:
    """What a row says."""
    action = cast(LedgerAction, row.action)
    return Line(action, row.object, row.outcome, row.actor, row.reason, row.at, row.content)


def hash_of_line(line: Line, previous: str) -> str:
    """The hash that chains a line to those before it."""
    return hash_of(vars(line) | {"at": utc(line.at), "previous": previous})


def utc(at: datetime | None) -> str | None:
    """A time as it is hashed."""
    return at and at.astimezone(UTC).isoformat()
