"""The outbox: a message is in line if and only if what it tells was committed, and leaves it once it was delivered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..models import PromptRow, VersionRow
from ..records import AliasEvent, Version
from .tables import AttemptRow, OutboxRow, WebhookRow


@dataclass(frozen=True)
class Delivery:
    """A message to be sent by whoever claimed it, as its so-manieth attempt. `body` is the same in all of them."""

    row: int
    id: str
    attempt: int
    body: str
    webhook: str
    url: str
    sealed: str


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: the status of the answer, or why there was none."""

    status: int | None = None
    fault: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


def moved(session: Session, event: AliasEvent, epoch: int) -> None:
    """Tell that an alias moved. The reason is somebody's text, and is left out."""
    if not (hooks := _hooks(session)):
        return
    same = (PromptRow.name == event.name, VersionRow.number.in_([event.new, event.candidate]))
    query = select(VersionRow.number, VersionRow.digest).join(PromptRow, PromptRow.id == VersionRow.prompt_id)
    digests: dict[int, str] = {row.number: row.digest for row in session.execute(query.where(*same))}
    facts = {name: getattr(event, name) for name in ("alias", "generation", "old", "new", "candidate", "percent")}
    facts |= {"digest": digests.get(event.new), "candidate_digest": digests.get(event.candidate or 0), "epoch": epoch}
    _put(session, hooks, f"alias.{event.action}", {"prompt": event.name, "actor": event.actor} | facts, event.at)


def published(session: Session, version: Version) -> None:
    """Tell that there is a new version."""
    facts = {"prompt": version.name, "number": version.number, "digest": version.digest, "size": version.size}
    facts |= {"actor": version.created_by, "run": version.run_id}
    _put(session, _hooks(session), "version.published", facts, datetime.now(UTC))


def _hooks(session: Session) -> Sequence[int]:
    """Whom to tell; none of them is deleted until the transaction ends."""
    query = select(WebhookRow.id).order_by(WebhookRow.id)
    return session.scalars(query.with_for_update(read=True, key_share=True)).all()


def _put(session: Session, hooks: Sequence[int], topic: str, facts: Mapping[str, object], at: datetime) -> None:
    for webhook_id in hooks:
        delivery = uuid4().hex
        session.add(
            OutboxRow(
                delivery=delivery,
                webhook_id=webhook_id,
                topic=topic,
                body=written(delivery, topic, facts, at),
                created_at=at,
                next_at=at,
                attempts=0,
                delivered_at=None,
            )
        )
    session.flush()


def written(delivery: str, topic: str, facts: Mapping[str, object], at: datetime) -> str:
    """The body of a message: names, numbers, digests and the actor, never the text of a row."""
    when = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"id": delivery, "type": topic, "timestamp": when, "data": dict(facts)}, separators=(",", ":"))


def is_due(session: Session, now: datetime) -> bool:
    """Whether there is a message whose time has come."""
    due = select(OutboxRow.id).where(OutboxRow.delivered_at.is_(None), OutboxRow.next_at <= now)
    return session.scalar(due.limit(1)) is not None


def claim(session: Session, now: datetime, limit: int, lease: timedelta) -> list[Delivery]:
    """Messages whose time has come, for the claimer alone until the lease is over."""
    query = (
        select(OutboxRow, WebhookRow)
        .join(WebhookRow, WebhookRow.id == OutboxRow.webhook_id)
        .where(OutboxRow.delivered_at.is_(None), OutboxRow.next_at <= now)
        .order_by(OutboxRow.next_at, OutboxRow.id)
        .limit(limit)
        .with_for_update(of=OutboxRow, skip_locked=True)
    )
    claimed = []
    for row, webhook in session.execute(query).all():
        row.next_at, row.attempts = now + lease, row.attempts + 1
        claimed.append(
            Delivery(row.id, row.delivery, row.attempts, row.body, webhook.name, webhook.url, webhook.sealed)
        )
    return claimed


def settle(session: Session, delivery: Delivery, outcome: Outcome, now: datetime, pause: timedelta) -> None:
    """Keep what came of an attempt; one that was not delivered is tried again after a pause.

    Who took longer than the lease may say that it was delivered, but not when somebody else's attempt is over.
    """
    row = session.get(OutboxRow, delivery.row, with_for_update=True)
    if row is None:  # its webhook was deleted meanwhile
        return
    session.add(
        AttemptRow(outbox_id=row.id, number=delivery.attempt, at=now, status=outcome.status, fault=outcome.fault)
    )
    if row.delivered_at is not None:
        return
    if outcome.delivered:
        row.delivered_at = now
    elif row.attempts == delivery.attempt:
        row.next_at = now + pause
