"""Keys and signatures, tags and facets, webhooks and their outbox."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze

revision = "0007"
down_revision = "0006"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)
FACETS = {"method": ("method",), "task": ("task", "name"), "kind": ("task", "kind")}


def upgrade() -> None:
    _make_signatures()
    _make_tags()
    _make_facets()
    op.create_index("ix_prompt_version_created_at", "prompt_version", ["created_at"])
    _make_webhooks()
    freeze("signing_key", "signing keys are append-only", keys=("name", "public"))
    freeze("key_revocation", "a revoked key stays revoked", keys=("key",))
    freeze("version_signature", "signatures are append-only", keys=("version_id, key",))
    freeze("tag_event", "changes of tags are append-only", keys=("id",))
    freeze("version_facet", "the facets of a version are immutable", keys=("version_id, key",))


def _make_signatures() -> None:
    op.create_table(
        "signing_key",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("public", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_signing_key"),
        sa.UniqueConstraint("public", name="uq_signing_key_public"),
    )
    op.create_table(
        "key_revocation",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("revoked_by", sa.String(), nullable=False),
        sa.Column("revoked_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_key_revocation"),
        sa.ForeignKeyConstraint(["key"], ["signing_key.name"], name="fk_key_revocation_key"),
    )
    op.create_table(
        "version_signature",
        sa.Column("version_id", Number, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("signed_by", sa.String(), nullable=False),
        sa.Column("signed_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "key", name="pk_version_signature"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name="fk_version_signature_version_id"),
        sa.ForeignKeyConstraint(["key"], ["signing_key.name"], name="fk_version_signature_key"),
    )


def _make_tags() -> None:
    _make_pairs("tag")
    op.create_table(
        "tag_event",
        sa.Column("id", Number, nullable=False),
        sa.Column("version_id", Number, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=True),
        sa.Column("new", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag_event"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name="fk_tag_event_version_id"),
    )
    op.create_index("ix_tag_event_version_id", "tag_event", ["version_id"])


def _make_facets() -> None:
    """What a card says of itself, of the versions that are ready and, by triggers, of those that become it."""
    _make_pairs("version_facet")
    for key, path in FACETS.items():
        op.execute(
            f"INSERT INTO version_facet (version_id, key, value) SELECT id, '{key}', {_said('card', path)} "
            f"FROM prompt_version WHERE state <> 'PENDING' AND {_said('card', path)} IS NOT NULL"
        )
    inserts = " ".join(
        f"INSERT INTO version_facet (version_id, key, value) SELECT NEW.id, '{key}', {_said('NEW.card', path)} "
        f"WHERE {_said('NEW.card', path)} IS NOT NULL;"
        for key, path in FACETS.items()
    )
    if _is_postgresql():
        op.execute(
            "CREATE FUNCTION prompt_version_facets() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {inserts} RETURN NULL; END $$"
        )
    for action, when in (
        ("insert", "NEW.state <> 'PENDING'"),
        ("update", "OLD.state = 'PENDING' AND NEW.state <> 'PENDING'"),
    ):
        head = f"CREATE TRIGGER prompt_version_facets_{action} AFTER {action.upper()} ON prompt_version FOR EACH ROW"
        if _is_postgresql():
            op.execute(f"{head} WHEN ({when}) EXECUTE FUNCTION prompt_version_facets()")
        else:
            op.execute(f"{head} WHEN {when} BEGIN {inserts} END")


def _make_webhooks() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", Number, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        sa.UniqueConstraint("name", name="uq_webhook_name"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Number, nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("webhook_id", Number, nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("next_at", Time, nullable=False),
        sa.Column("attempts", Number, nullable=False),
        sa.Column("delivered_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("delivery", name="uq_outbox_delivery"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name="fk_outbox_webhook_id"),
    )
    waiting = sa.text("delivered_at IS NULL")
    op.create_index("ix_outbox_waiting", "outbox", ["next_at"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("ix_outbox_webhook_id", "outbox", ["webhook_id"])
    op.create_table(
        "outbox_attempt",
        sa.Column("outbox_id", Number, autoincrement=False, nullable=False),
        sa.Column("number", Number, autoincrement=False, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("status", Number, nullable=True),
        sa.Column("fault", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("outbox_id", "number", name="pk_outbox_attempt"),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_outbox_attempt_outbox_id"),
    )


def _make_pairs(table: str) -> None:
    """What a version says or is said of it, by key and value."""
    op.create_table(
        table,
        sa.Column("version_id", Number, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "key", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["version_id"], ["prompt_version.id"], name=f"fk_{table}_version_id"),
    )
    op.create_index(f"ix_{table}_key_value", table, ["key", "value"])


def _said(card: str, path: tuple[str, ...]) -> str:
    """The text at a path of a card."""
    if _is_postgresql():
        return f"({card} #>> '{{{','.join(path)}}}')"
    return f"json_extract({card}, '$.{'.'.join(path)}')"


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
