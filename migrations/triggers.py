"""Rows that the database itself refuses to change, on SQLite and PostgreSQL."""

from collections.abc import Sequence

from alembic import op


def freeze(table: str, message: str, *, keys: Sequence[str], when: str = "TRUE", update: str = "") -> None:
    """Refuse UPDATE and DELETE of the rows for which `when` holds of OLD; on PostgreSQL TRUNCATE as well.

    Where some updates are let through, `update` says of OLD and NEW which ones are refused. `keys` are the table's
    unique keys: SQLite's INSERT OR REPLACE deletes the rows in its way without asking the DELETE trigger, so there
    an INSERT over a frozen row is refused.
    """
    refused = {"UPDATE": update or when, "DELETE": when}
    if _is_postgresql():
        op.execute(_function(table, "frozen", f"RAISE EXCEPTION '{message}' USING ERRCODE = '23000';"))
        for action, condition in refused.items():
            op.execute(
                f"CREATE TRIGGER frozen_{action.lower()} BEFORE {action} ON {table} FOR EACH ROW WHEN ({condition}) "
                f"EXECUTE FUNCTION {table}_frozen()"
            )
        op.execute(
            f"CREATE TRIGGER kept BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_frozen()"
        )
        return
    for action, condition in refused.items():
        op.execute(
            f"CREATE TRIGGER {table}_frozen_{action.lower()} BEFORE {action} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
    if not keys:
        return
    same = " OR ".join(f"({key}) = ({_of_new(key)})" for key in keys)
    refuse_insert(table, message, f"SELECT 1 FROM {table} AS old WHERE ({same}) AND {when}")


def refuse_insert(table: str, message: str, rows: str) -> None:
    """Refuse INSERT of a row NEW for which the query `rows` finds something."""
    if _is_postgresql():
        refusal = f"IF EXISTS ({rows}) THEN RAISE EXCEPTION '{message}' USING ERRCODE = '23000'; END IF;"
        op.execute(_function(table, "closed", f"{refusal} RETURN NEW;"))
        op.execute(f"CREATE TRIGGER closed BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_closed()")
    else:
        op.execute(
            f"CREATE TRIGGER {table}_closed BEFORE INSERT ON {table} WHEN EXISTS ({rows}) "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


def thaw(table: str) -> None:
    """Take away what `freeze` and `refuse_insert` made, for the time of a change to the table."""
    if _is_postgresql():
        for name in ("frozen", "closed"):
            op.execute(f"DROP FUNCTION IF EXISTS {table}_{name}() CASCADE")
        return
    for name in ("frozen_update", "frozen_delete", "closed"):
        op.execute(f"DROP TRIGGER IF EXISTS {table}_{name}")


def unchanged(columns: Sequence[str]) -> str:
    """The condition that an UPDATE leaves these columns as they were."""
    if _is_postgresql():  # as text: json has no equality
        return " AND ".join(f"NEW.{column}::text IS NOT DISTINCT FROM OLD.{column}::text" for column in columns)
    return " AND ".join(f"NEW.{column} IS OLD.{column}" for column in columns)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _function(table: str, name: str, body: str) -> str:
    return f"CREATE FUNCTION {table}_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


def _of_new(key: str) -> str:
    return ", ".join(f"NEW.{column.strip()}" for column in key.split(","))
