"""Tokens, as hashes."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze

revision = "0004"
down_revision = "0003"

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=True),
        sa.Column("revoked_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_api_token"),
        sa.UniqueConstraint("sha256", name="uq_api_token_sha256"),
        sa.CheckConstraint("role IN ('viewer', 'trainer', 'promoter', 'admin')", name="ck_api_token_role"),
    )
    freeze("api_token", "a revoked token stays revoked", keys=("name", "sha256"), when="OLD.revoked_at IS NOT NULL")
