"""Feedback, counted by version and buffer."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze

revision = "0002"
down_revision = "0001"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "feedback_buffer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("opened_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_buffer"),
    )
    op.create_table(
        "feedback_count",
        sa.Column("id", Number, nullable=False),
        sa.Column("buffer_id", sa.String(), nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("version_id", Number, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("n", Number, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_count"),
        sa.UniqueConstraint("buffer_id", "sequence", name="uq_feedback_count_buffer_id_sequence"),
        sa.ForeignKeyConstraint(["buffer_id"], ["feedback_buffer.id"], name="fk_feedback_count_buffer_id"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name="fk_feedback_count_version_id"),
        sa.CheckConstraint(
            "kind IN ('accepted', 'learned', 'dropped', 'expired', 'lost')", name="ck_feedback_count_kind"
        ),
        sa.CheckConstraint("n > 0", name="ck_feedback_count_n"),
    )
    freeze("feedback_buffer", "feedback buffers are append-only", keys=("id",))
    freeze("feedback_count", "feedback counts are append-only", keys=("id", "buffer_id, sequence"))
