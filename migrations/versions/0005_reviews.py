"""Gate reports, approvals and the ledger; the tokens that there are are written down in it."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.triggers import freeze
from registry.canonical import hash_of

revision = "0005"
down_revision = "0004"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)
VERSION = ["prompt_version.prompt_id", "prompt_version.number"]


def upgrade() -> None:
    op.add_column("alias_event", sa.Column("report", sa.String(), nullable=True))
    op.add_column("alias_event", sa.Column("forced", sa.Boolean(), server_default=sa.false(), nullable=False))
    _make_reports()
    _make_ledger()
    freeze("gate_report", "gate reports are append-only", keys=("id", "hash"))
    freeze("approval", "approvals are append-only", keys=("id", "prompt_id, number, alias, approver"))
    _write_down_tokens()
    freeze("ledger", "the ledger is append-only", keys=("id",))


def _make_reports() -> None:
    op.create_table(
        "gate_report",
        sa.Column("id", Number, nullable=False),
        sa.Column("prompt_id", Number, nullable=False),
        sa.Column("number", Number, nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("baseline", Number, nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gate_report"),
        sa.ForeignKeyConstraint(["prompt_id", "number"], VERSION, name="fk_gate_report_prompt_id_number"),
        sa.UniqueConstraint("hash", name="uq_gate_report_hash"),
    )
    op.create_table(
        "approval",
        sa.Column("id", Number, nullable=False),
        sa.Column("prompt_id", Number, nullable=False),
        sa.Column("number", Number, nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_approval"),
        sa.ForeignKeyConstraint(["prompt_id", "number"], VERSION, name="fk_approval_prompt_id_number"),
        sa.UniqueConstraint(
            "prompt_id", "number", "alias", "approver", name="uq_approval_prompt_id_number_alias_approver"
        ),
    )


def _make_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", Number, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", Number, autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_head"),
        sa.CheckConstraint("id = 1", name="ck_ledger_head_one_row"),
    )
    op.execute("INSERT INTO ledger_head (id, hash) VALUES (1, '')")


def _write_down_tokens() -> None:
    """Lines as `registry.review` would have written them when the tokens were made and revoked."""
    texts, times = ("name", "role", "sha256", "created_by"), ("created_at", "expires_at", "revoked_at")
    columns = [sa.column(name, sa.String()) for name in texts] + [sa.column(name, Time) for name in times]
    connection, head = op.get_bind(), ""
    ledger = sa.table("ledger", *(sa.column(name, Time if name == "at" else sa.String()) for name in (
        *("action", "object", "outcome", "actor", "reason", "at", "content", "previous", "hash"),)))  # fmt: skip
    for row in connection.execute(sa.select(*columns).select_from(sa.table("api_token"))).mappings().all():
        made = {name: row[name] for name in texts} | {name: _utc(row[name]) for name in times[:2]}
        lines = [("token create", row["created_by"], row["created_at"], made)]
        if row["revoked_at"] is not None:
            ended = {"name": row["name"], "revoked_at": _utc(row["revoked_at"])}
            lines.append(("token revoke", "", row["revoked_at"], ended))
        for action, actor, at, content in lines:
            line: dict[str, Any] = {"action": action, "object": row["name"], "outcome": row["role"], "actor": actor}
            line |= {"reason": "", "content": hash_of(content)}
            chained = {"previous": head, "hash": hash_of(line | {"at": _utc(at), "previous": head})}
            connection.execute(sa.insert(ledger).values(line | chained | {"at": at}))
            head = chained["hash"]
    connection.execute(sa.text("UPDATE ledger_head SET hash = :head"), {"head": head})


def _utc(at: datetime | None) -> str | None:
    """A time as it is hashed; SQLite keeps none of the zone."""
    return at and at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC).isoformat()
