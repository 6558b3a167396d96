"""Versions that are archived, deleted or given up, and the blobs that they need."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze, refuse_insert, thaw, unchanged

revision = "0006"
down_revision = "0005"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)

OPEN = "OLD.state IN ('PENDING', 'FAILED')"
STEPS = {
    "PENDING": ("PENDING", "READY", "FAILED"),
    "FAILED": ("FAILED", "PENDING"),
    "READY": ("ARCHIVED", "DELETED"),
    "ARCHIVED": ("READY", "DELETED"),
}
CONTENT = (
    *("id", "prompt_id", "number", "digest", "size", "card"),
    *("idempotency_key", "run_id", "created_by", "created_at", "message"),
)


def upgrade() -> None:
    _make_blobs()
    _make_version_events()
    _allow_states()


def _make_blobs() -> None:
    op.create_table(
        "blob",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size", Number, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("touched_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blob"),
        sa.CheckConstraint("state IN ('LIVE', 'DELETING')", name="ck_blob_state"),
    )
    op.execute(
        "INSERT INTO blob (digest, size, state, touched_at) "
        "SELECT digest, max(size), 'LIVE', max(created_at) FROM prompt_version GROUP BY digest"
    )


def _make_version_events() -> None:
    op.create_table(
        "version_event",
        sa.Column("id", Number, nullable=False),
        sa.Column("version_id", Number, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_version_event"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name="fk_version_event_version_id"),
        sa.CheckConstraint("action IN ('archive', 'restore', 'delete')", name="ck_version_event_action"),
    )
    op.create_index("ix_version_event_version_id", "version_event", ["version_id"])
    freeze("version_event", "version events are append-only", keys=("id",))


def _allow_states() -> None:
    for table in ("prompt_version", "version_parent"):  # a trigger of the latter names the former
        thaw(table)
    with op.batch_alter_table("prompt_version") as batch:
        batch.drop_constraint("ck_prompt_version_state", type_="check")
        batch.create_check_constraint(
            "ck_prompt_version_state", "state IN ('PENDING', 'READY', 'ARCHIVED', 'DELETED', 'FAILED')"
        )
    op.create_index("ix_prompt_version_prompt_id_state_number", "prompt_version", ["prompt_id", "state", "number"])
    op.create_index("ix_prompt_version_digest_state", "prompt_version", ["digest", "state"])
    op.create_index("ix_version_parent_parent_id", "version_parent", ["parent_id"])
    op.create_index("ix_alias_event_hash", "alias_event", ["hash"])
    freeze(
        "prompt_version",
        "a version that was READY is immutable, and its state takes no other step",
        keys=("id", "prompt_id, number", "prompt_id, idempotency_key"),
        when=f"NOT ({OPEN})",
        update=f"NOT ({_step_allowed()} AND ({OPEN} OR ({unchanged(CONTENT)})))",
    )
    freeze("version_parent", "the parents of a version are immutable", keys=())
    refuse_insert(
        "version_parent",
        "a READY version gets no more parents",
        "SELECT 1 FROM prompt_version AS child WHERE child.id = NEW.version_id AND child.state <> 'PENDING'",
    )


def _step_allowed() -> str:
    steps = (f"(OLD.state = '{old}' AND NEW.state IN ({', '.join(map(repr, new))}))" for old, new in STEPS.items())
    return f"({' OR '.join(steps)})"
