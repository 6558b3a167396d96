"""Webhooks, and the messages that wait for them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from ..columns import Base

WAITING = text("delivered_at IS NULL")


class WebhookRow(Base):
    """An address to tell; `sealed` is its secret, which only who has the key outside the database can open."""

    __tablename__ = "webhook"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    sealed: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class OutboxRow(Base):
    """A message for one webhook, written in the transaction of what it tells.

    `next_at` is when it may be tried: whoever tries it moves that into the future first, so that it is theirs until
    then, and somebody else's if they die.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "next_at", sqlite_where=WAITING, postgresql_where=WAITING),
        Index(None, "webhook_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery: Mapped[str] = mapped_column(unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"))
    topic: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime]
    next_at: Mapped[datetime]
    attempts: Mapped[int]
    delivered_at: Mapped[datetime | None]


class AttemptRow(Base):
    """How a try ended: with an HTTP status, or without one for a reason."""

    __tablename__ = "outbox_attempt"

    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    status: Mapped[int | None]
    fault: Mapped[str]
