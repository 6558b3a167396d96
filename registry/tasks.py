"""Tasks: a name and a spec that the registry keeps and does not interpret."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import locked
from .errors import Conflict, NotFound
from .models import TaskRow
from .records import TaskRecord


def put(session: Session, name: str, spec: Mapping[str, Any], actor: str, replace: bool) -> TaskRecord:
    """Keep a task's spec; another spec under the same name has to be meant."""
    now = datetime.now(UTC)
    new = TaskRow(name=name, spec=dict(spec), created_by=actor, created_at=now, updated_at=now)
    row = locked(session, select(TaskRow).where(TaskRow.name == name), lambda: new)
    if row.spec != spec:
        if not replace:
            raise Conflict(f"task {name!r} exists with another spec", hint="replace it, or choose another name")
        row.spec, row.updated_at = dict(spec), now
    return _to_record(row)


def get(session: Session, name: str) -> TaskRecord:
    """The task of that name."""
    row = session.get(TaskRow, name)
    if row is None:
        raise NotFound.among(session.scalars(select(TaskRow.name).order_by(TaskRow.name)), "task", name)
    return _to_record(row)


def list_tasks(session: Session) -> list[TaskRecord]:
    """Every task, by name."""
    return [_to_record(row) for row in session.scalars(select(TaskRow).order_by(TaskRow.name))]


def _to_record(row: TaskRow) -> TaskRecord:
    return TaskRecord(row.name, row.spec, row.created_by, row.created_at, row.updated_at)
