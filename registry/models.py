"""The tables. Versions and alias events never change; `alias` is the only thing that moves."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from .columns import Base
from .review import tables as _review_tables  # noqa: F401  a table is known once its module was imported
from .signing import tables as _signing_tables  # noqa: F401
from .tagging import tables as _tagging_tables  # noqa: F401
from .webhooks import tables as _webhook_tables  # noqa: F401

SPLIT = "(candidate IS NULL) = (percent IS NULL) AND percent BETWEEN 0 AND 99"


class PromptRow(Base):
    """A prompt and the number its next version gets."""

    __tablename__ = "prompt"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    next_number: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class RunRow(Base):
    """A run; `attempt` fences off whoever still works for an earlier one."""

    __tablename__ = "run"
    __table_args__ = (CheckConstraint("status IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'INTERRUPTED')", name="status"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    attempt: Mapped[int]
    config: Mapped[dict[str, Any]]
    error_code: Mapped[str]
    mlflow_run_id: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class VersionRow(Base):
    """A version: PENDING while its blob is on the way, FAILED when it was given up, READY and immutable after.

    From then on nothing changes but the state: to ARCHIVED and back, or to DELETED for good.
    """

    __tablename__ = "prompt_version"
    __table_args__ = (
        UniqueConstraint("prompt_id", "number"),
        UniqueConstraint("prompt_id", "idempotency_key"),
        CheckConstraint("state IN ('PENDING', 'READY', 'ARCHIVED', 'DELETED', 'FAILED')", name="state"),
        Index(None, "prompt_id", "state", "number"),
        Index(None, "digest", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompt.id"))
    number: Mapped[int]
    state: Mapped[str]
    digest: Mapped[str]
    size: Mapped[int]
    card: Mapped[dict[str, Any]]
    idempotency_key: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    message: Mapped[str]


class VersionEventRow(Base):
    """A version was archived, restored or deleted; append-only, chained by hash over the whole registry."""

    __tablename__ = "version_event"
    __table_args__ = (CheckConstraint("action IN ('archive', 'restore', 'delete')", name="action"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), index=True)
    action: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    previous: Mapped[str]
    hash: Mapped[str]


class BlobRow(Base):
    """Bytes that the store has or is about to get; DELETING is the tombstone under which they are taken away."""

    __tablename__ = "blob"
    __table_args__ = (CheckConstraint("state IN ('LIVE', 'DELETING')", name="state"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]
    state: Mapped[str]
    touched_at: Mapped[datetime]


class ParentRow(Base):
    """What a version was made from."""

    __tablename__ = "version_parent"

    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class AliasRow(Base):
    """The version an alias names, and a candidate beside it; each UPDATE compares and swaps the generation.

    The candidate answers `percent` of the rows; with 0 it is a shadow, which answers beside the version.
    """

    __tablename__ = "alias"
    __table_args__ = (
        ForeignKeyConstraint(["prompt_id", "number"], ["prompt_version.prompt_id", "prompt_version.number"]),
        ForeignKeyConstraint(["prompt_id", "candidate"], ["prompt_version.prompt_id", "prompt_version.number"]),
        CheckConstraint(SPLIT, name="split"),
    )

    prompt_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    generation: Mapped[int] = mapped_column()
    candidate: Mapped[int | None]
    percent: Mapped[int | None]

    __mapper_args__ = {"version_id_col": generation}  # noqa: RUF012  SQLAlchemy declares it without ClassVar


class EventRow(Base):
    """One step of an alias; append-only, chained by hash over the whole registry."""

    __tablename__ = "alias_event"
    __table_args__ = (
        UniqueConstraint("prompt_id", "alias", "generation"),
        ForeignKeyConstraint(["prompt_id", "new"], ["prompt_version.prompt_id", "prompt_version.number"]),
        ForeignKeyConstraint(["prompt_id", "candidate"], ["prompt_version.prompt_id", "prompt_version.number"]),
        CheckConstraint("action IN ('set', 'rollback', 'canary', 'shadow', 'stop')", name="action"),
        CheckConstraint(SPLIT, name="split"),
        Index(None, "hash"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int]
    alias: Mapped[str]
    generation: Mapped[int]
    old: Mapped[int | None]
    new: Mapped[int]
    action: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    previous: Mapped[str]
    hash: Mapped[str]
    candidate: Mapped[int | None]
    percent: Mapped[int | None]
    report: Mapped[str | None]
    forced: Mapped[bool] = mapped_column(server_default=false())


class ServingRow(Base):
    """One row: the epoch that counts changes of aliases, and the hash of the last event."""

    __tablename__ = "serving"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    head: Mapped[str]


class TaskRow(Base):
    """A task's spec."""

    __tablename__ = "task"

    name: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class BufferRow(Base):
    """The memory of one process that holds feedback; `owner` says which server, so that its successor knows it."""

    __tablename__ = "feedback_buffer"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    opened_at: Mapped[datetime]


class FeedbackRow(Base):
    """So many corrections of a version that took a step; append-only, and never a word of what they say."""

    __tablename__ = "feedback_count"
    __table_args__ = (
        UniqueConstraint("buffer_id", "sequence"),
        CheckConstraint("kind IN ('accepted', 'learned', 'dropped', 'expired', 'lost')", name="kind"),
        CheckConstraint("n > 0", name="n"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    buffer_id: Mapped[str] = mapped_column(ForeignKey("feedback_buffer.id"))
    sequence: Mapped[int]
    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"))
    kind: Mapped[str]
    n: Mapped[int]
    actor: Mapped[str]
    at: Mapped[datetime]


class TokenRow(Base):
    """A token that lets requests in, as the hash of its secret; once revoked it stays revoked."""

    __tablename__ = "api_token"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'trainer', 'promoter', 'admin')", name="role"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
