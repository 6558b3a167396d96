"""Candidates beside the versions of aliases."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

from migrations.triggers import freeze, thaw

revision = "0003"
down_revision = "0002"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
VERSION = ["prompt_id", "number"]
SPLIT = "(candidate IS NULL) = (percent IS NULL) AND percent BETWEEN 0 AND 99"


def upgrade() -> None:
    with op.batch_alter_table("alias") as batch:
        _add_split(batch, "alias")
    thaw("alias_event")
    with op.batch_alter_table("alias_event") as batch:
        batch.drop_constraint("ck_alias_event_action", type_="check")
        batch.create_check_constraint(
            "ck_alias_event_action", "action IN ('set', 'rollback', 'canary', 'shadow', 'stop')"
        )
        _add_split(batch, "alias_event")
    freeze("alias_event", "alias events are append-only", keys=("id", "prompt_id, alias, generation"))


def _add_split(batch: BatchOperations, table: str) -> None:
    batch.add_column(sa.Column("candidate", Number, nullable=True))
    batch.add_column(sa.Column("percent", Number, nullable=True))
    batch.create_foreign_key(f"fk_{table}_prompt_id_candidate", "prompt_version", ["prompt_id", "candidate"], VERSION)
    batch.create_check_constraint(f"ck_{table}_split", SPLIT)
