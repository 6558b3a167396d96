"""The webhooks of a registry."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError as Refused
from sqlalchemy.orm import Session

from ..database import Database
from ..errors import Conflict, NotFound
from ..late import LateDatabase
from ..references import check_name
from . import outbox
from .outbox import Delivery, Outcome
from .tables import AttemptRow, OutboxRow, WebhookRow


@dataclass(frozen=True)
class Webhook:
    """An address that is told, and how that goes; its secret is never shown again."""

    name: str
    url: str
    created_by: str
    created_at: datetime
    delivered: int = 0
    waiting: int = 0
    attempts: int = 0  # of those that wait
    fault: str = ""  # of the last attempt, if it failed


class Webhooks:
    """Addresses, and the messages that wait for them. Safe to share between threads."""

    def __init__(self, database: Database | LateDatabase) -> None:
        self._database = database

    def create(self, name: str, url: str, sealed: str, *, actor: str) -> Webhook:
        """Tell this address of everything from now on.

        Raises:
            Conflict: a webhook has that name.
        """
        now = datetime.now(UTC)
        row = WebhookRow(name=check_name(name, "webhook"), url=url, sealed=sealed, created_by=actor, created_at=now)
        with self._database.write() as session:
            session.add(row)
            try:
                session.flush()
            except Refused as error:
                raise Conflict(f"there is a webhook {name!r}", hint="give this one another name") from error
            return Webhook(row.name, row.url, row.created_by, row.created_at)

    def all(self) -> list[Webhook]:
        """Every webhook, by name."""
        with self._database.read() as session:
            rows = session.scalars(select(WebhookRow).order_by(WebhookRow.name)).all()
            return [_to_record(session, row) for row in rows]

    def delete(self, name: str) -> Webhook:
        """Tell it nothing any more, not even what waits."""
        with self._database.write() as session:
            row = _known(session, name, lock=True)
            gone = _to_record(session, row)
            own = select(OutboxRow.id).where(OutboxRow.webhook_id == row.id)
            session.scalars(own.with_for_update()).all()  # whoever notes an attempt now is waited for
            session.execute(delete(AttemptRow).where(AttemptRow.outbox_id.in_(own)))
            session.execute(delete(OutboxRow).where(OutboxRow.webhook_id == row.id))
            session.delete(row)
            return gone

    def address(self, name: str) -> tuple[str, str]:
        """The URL and the sealed secret of a webhook."""
        with self._database.read() as session:
            row = _known(session, name)
            return row.url, row.sealed

    def claim(self, limit: int, lease: timedelta, *, now: datetime | None = None) -> list[Delivery]:
        """Messages whose time has come, for the caller alone until the lease is over."""
        now = now or datetime.now(UTC)
        with self._database.read() as session:  # who only looks keeps nobody from writing
            if not outbox.is_due(session, now):
                return []
        with self._database.write() as session:
            return outbox.claim(session, now, limit, lease)

    def settle(self, delivery: Delivery, outcome: Outcome, pause: timedelta, *, now: datetime | None = None) -> None:
        """Keep what came of an attempt; what was not delivered is tried again after the pause."""
        with self._database.write() as session:
            outbox.settle(session, delivery, outcome, now or datetime.now(UTC), pause)


def _known(session: Session, name: str, *, lock: bool = False) -> WebhookRow:
    query = select(WebhookRow).where(WebhookRow.name == name)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound.among(session.scalars(select(WebhookRow.name).order_by(WebhookRow.name)), "webhook", name)
    return row


def _to_record(session: Session, row: WebhookRow) -> Webhook:
    own = select(func.count(), func.coalesce(func.sum(OutboxRow.attempts), 0)).where(OutboxRow.webhook_id == row.id)
    delivered, _ = session.execute(own.where(OutboxRow.delivered_at.is_not(None))).one()
    waiting, attempts = session.execute(own.where(OutboxRow.delivered_at.is_(None))).one()
    last = (
        select(AttemptRow.fault)
        .join(OutboxRow, OutboxRow.id == AttemptRow.outbox_id)
        .where(OutboxRow.webhook_id == row.id)
        .order_by(AttemptRow.at.desc(), AttemptRow.outbox_id.desc())
        .limit(1)
    )
    fault = session.scalar(last) or ""
    return Webhook(row.name, row.url, row.created_by, row.created_at, delivered, waiting, int(attempts), fault)
