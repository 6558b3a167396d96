"""The tables of reviews; every row is there for good."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ..columns import Base


class ReportRow(Base):
    """What gates found of a version for an alias; `details` holds numbers and no sentence."""

    __tablename__ = "gate_report"
    __table_args__ = (
        ForeignKeyConstraint(["prompt_id", "number"], ["prompt_version.prompt_id", "prompt_version.number"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int]
    number: Mapped[int]
    alias: Mapped[str]
    policy: Mapped[str]
    baseline: Mapped[int | None]
    passed: Mapped[bool]
    details: Mapped[dict[str, Any]]
    actor: Mapped[str]
    at: Mapped[datetime]
    hash: Mapped[str] = mapped_column(unique=True)


class ApprovalRow(Base):
    """One approver's yes to a version for an alias."""

    __tablename__ = "approval"
    __table_args__ = (
        UniqueConstraint("prompt_id", "number", "alias", "approver"),
        ForeignKeyConstraint(["prompt_id", "number"], ["prompt_version.prompt_id", "prompt_version.number"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int]
    number: Mapped[int]
    alias: Mapped[str]
    approver: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class LedgerRow(Base):
    """One line of the ledger: what happened, and the hash of the row that it left in another table."""

    __tablename__ = "ledger"

    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str]
    object: Mapped[str]
    outcome: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    content: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


class LedgerHeadRow(Base):
    """One row: the hash of the ledger's last line."""

    __tablename__ = "ledger_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]
