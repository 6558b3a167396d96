"""Prompts, versions, aliases and their events, tasks and runs."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze, refuse_insert

revision = "0001"
down_revision = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _make_tasks_and_runs()
    _make_versions()
    _make_aliases()
    freeze(
        "prompt_version",
        "a READY version is immutable",
        keys=("id", "prompt_id, number", "prompt_id, idempotency_key"),
        when="OLD.state = 'READY'",
    )
    freeze("alias_event", "alias events are append-only", keys=("id", "prompt_id, alias, generation"))
    freeze("version_parent", "the parents of a version are immutable", keys=())
    refuse_insert(
        "version_parent",
        "a READY version gets no more parents",
        "SELECT 1 FROM prompt_version AS child WHERE child.id = NEW.version_id AND child.state = 'READY'",
    )


def _make_tasks_and_runs() -> None:
    op.create_table(
        "task",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_task"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", Number, nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=False),
        sa.Column("mlflow_run_id", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.CheckConstraint("status IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'INTERRUPTED')", name="ck_run_status"),
    )


def _make_versions() -> None:
    op.create_table(
        "prompt",
        sa.Column("id", Number, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("next_number", Number, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prompt"),
        sa.UniqueConstraint("name", name="uq_prompt_name"),
    )
    op.create_table(
        "prompt_version",
        sa.Column("id", Number, nullable=False),
        sa.Column("prompt_id", Number, nullable=False),
        sa.Column("number", Number, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size", Number, nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prompt_version"),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name="fk_prompt_version_prompt_id"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_prompt_version_run_id"),
        sa.UniqueConstraint("prompt_id", "number", name="uq_prompt_version_prompt_id_number"),
        sa.UniqueConstraint("prompt_id", "idempotency_key", name="uq_prompt_version_prompt_id_idempotency_key"),
        sa.CheckConstraint("state IN ('PENDING', 'READY')", name="ck_prompt_version_state"),
    )
    op.create_table(
        "version_parent",
        sa.Column("version_id", Number, nullable=False),
        sa.Column("parent_id", Number, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "parent_id", "role", name="pk_version_parent"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name="fk_version_parent_version_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["prompt_version.id"], name="fk_version_parent_parent_id"),
    )


def _make_aliases() -> None:
    op.create_table(
        "alias",
        sa.Column("prompt_id", Number, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", Number, nullable=False),
        sa.Column("generation", Number, nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "name", name="pk_alias"),
        sa.ForeignKeyConstraint(
            ["prompt_id", "number"],
            ["prompt_version.prompt_id", "prompt_version.number"],
            name="fk_alias_prompt_id_number",
        ),
    )
    op.create_table(
        "alias_event",
        sa.Column("id", Number, nullable=False),
        sa.Column("prompt_id", Number, nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("generation", Number, nullable=False),
        sa.Column("old", Number, nullable=True),
        sa.Column("new", Number, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alias_event"),
        sa.UniqueConstraint("prompt_id", "alias", "generation", name="uq_alias_event_prompt_id_alias_generation"),
        sa.ForeignKeyConstraint(
            ["prompt_id", "new"],
            ["prompt_version.prompt_id", "prompt_version.number"],
            name="fk_alias_event_prompt_id_new",
        ),
        sa.CheckConstraint("action IN ('set', 'rollback')", name="ck_alias_event_action"),
    )
    op.create_table(
        "serving",
        sa.Column("id", Number, autoincrement=False, nullable=False),
        sa.Column("epoch", Number, nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_serving"),
        sa.CheckConstraint("id = 1", name="ck_serving_one_row"),
    )
    op.execute("INSERT INTO serving (id, epoch, head) VALUES (1, 0, '')")
