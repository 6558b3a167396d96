"""The rows of blobs. One that is LIVE stays while a version needs it or somebody touched it lately.

The collector of garbage marks a blob DELETING, takes its bytes away, then its row. A publisher touches the blob
before it stores the bytes, and makes its version READY in a transaction that finds the blob LIVE.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ..models import BlobRow, VersionRow

NEEDING = ("PENDING", "READY", "ARCHIVED")


class Collected(Exception):
    """The bytes are being taken away, or the version was given up: begin again."""


def touch(session: Session, digest: str, size: int) -> None:
    """Say that somebody is about to store these bytes."""
    values = {"digest": digest, "size": size, "state": "LIVE", "touched_at": datetime.now(UTC)}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    live = insert(BlobRow).values(values)
    live = live.on_conflict_do_update(
        index_elements=[BlobRow.digest],
        set_={"touched_at": live.excluded.touched_at},
        where=BlobRow.state == "LIVE",
    )
    if session.execute(live.returning(BlobRow.digest)).first() is None:
        raise Collected(digest)


def hold(session: Session, digest: str) -> None:
    """Keep a blob LIVE until the transaction ends."""
    query = select(BlobRow.state).where(BlobRow.digest == digest)
    if session.scalar(query.with_for_update(read=True)) != "LIVE":
        raise Collected(digest)


def revive(session: Session, digest: str) -> None:
    """Take a mark back that a collector has left: only for who is alone, and is about to store the bytes anew."""
    marked = update(BlobRow).where(BlobRow.digest == digest, BlobRow.state == "DELETING")
    session.execute(marked.values(state="LIVE", touched_at=datetime.now(UTC)))


def mark(session: Session, before: datetime, after: str, most: int) -> Sequence[tuple[str, int]]:
    """Mark what nobody needs and nobody touched since `before`; digests and sizes, in the digests' order.

    Those that were marked before and are still there come along; none of the digests up to `after` does.
    """
    unneeded = or_(BlobRow.state == "DELETING", and_(BlobRow.touched_at < before, ~_needed()))
    found = select(BlobRow.digest).where(BlobRow.digest > after, unneeded).order_by(BlobRow.digest).limit(most)
    digests = session.scalars(found.with_for_update()).all()
    of_these = BlobRow.digest.in_(digests)
    # Asked anew: what committed while these rows were not locked yet is seen only by another statement.
    session.execute(update(BlobRow).where(of_these, ~_needed()).values(state="DELETING"))
    marked = select(BlobRow.digest, BlobRow.size).where(of_these, BlobRow.state == "DELETING")
    return [(digest, size) for digest, size in session.execute(marked.order_by(BlobRow.digest))]


def forget(session: Session, digests: Sequence[str]) -> None:
    """Drop the rows of bytes that are gone."""
    session.execute(delete(BlobRow).where(BlobRow.digest.in_(digests), BlobRow.state == "DELETING"))


def unneeded(session: Session) -> int:
    """How many blobs no version needs."""
    return len(session.scalars(select(BlobRow.digest).where(~_needed())).all())


def _needed() -> ColumnElement[bool]:
    return exists().where(VersionRow.digest == BlobRow.digest, VersionRow.state.in_(NEEDING))
