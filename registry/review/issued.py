"""Tokens in the ledger: a token that was slipped in, or given another role, shows."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..canonical import hash_of
from ..models import TokenRow
from . import ledger
from .ledger import Line, utc


def created(session: Session, row: TokenRow) -> None:
    """Write down that a token was made."""
    line = Line("token create", row.name, row.role, row.created_by, "", row.created_at, _content(row))
    ledger.append(session, line)


def revoked(session: Session, row: TokenRow, actor: str, at: datetime) -> None:
    """Write down that a token was revoked."""
    ledger.append(session, Line("token revoke", row.name, row.role, actor, "", at, _end(row)))


def contents(session: Session) -> tuple[dict[str, str], dict[str, str]]:
    """What every row says of its making, and of its end, by hash."""
    rows = session.scalars(select(TokenRow)).all()
    return (
        {_content(row): f"the token {row.name}" for row in rows},
        {_end(row): f"the end of the token {row.name}" for row in rows if row.revoked_at is not None},
    )


def _content(row: TokenRow) -> str:
    """The hash of a token as it was made."""
    return hash_of(
        {
            "name": row.name,
            "role": row.role,
            "sha256": row.sha256,
            "created_by": row.created_by,
            "created_at": utc(row.created_at),
            "expires_at": utc(row.expires_at),
        }
    )


def _end(row: TokenRow) -> str:
    """The hash of a token's end."""
    return hash_of({"name": row.name, "revoked_at": utc(row.revoked_at)})
