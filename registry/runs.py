"""Runs and their attempts. An attempt that was resumed over is fenced off: it may neither publish nor finish."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from .errors import Conflict, Invalid, NotFound, RunExists
from .models import RunRow
from .records import Run, RunStatus


def start(session: Session, run_id: str, config: Mapping[str, Any], actor: str) -> Run:
    """A new run at attempt 1."""
    now = datetime.now(UTC)
    row = RunRow(
        id=run_id,
        status="RUNNING",
        attempt=1,
        config=dict(config),
        error_code="",
        mlflow_run_id="",
        created_by=actor,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise RunExists(
            f"run {run_id!r} was started before",
            hint="resume it, or choose another name",
        ) from error
    return _to_record(row)


def resume(session: Session, run_id: str) -> Run:
    """The run at its next attempt."""
    row = _locked(session, run_id)
    if row.status == "SUCCEEDED":
        raise Conflict(f"run {run_id!r} has succeeded: there is nothing to resume", hint="start a new run")
    row.attempt += 1
    return _to(row, "RUNNING")


def finish(session: Session, run_id: str, attempt: int, status: RunStatus, **outcome: str) -> Run:
    """Record how the current attempt ended; saying the same again changes nothing."""
    row = _locked(session, run_id)
    _check_attempt(row, attempt)
    if row.status == status:
        return _to_record(row)
    if row.status != "RUNNING":
        raise Conflict(f"run {run_id!r} has already ended as {row.status}, not {status}")
    for name, value in outcome.items():
        setattr(row, name, value)
    return _to(row, status)


def fence(session: Session, run_id: str | None, attempt: int | None) -> None:
    """Refuse to act for an attempt that is not the run's current one, until the transaction ends."""
    if run_id is None:
        if attempt is not None:
            raise Invalid(f"attempt {attempt} of no run", hint="give run_id with attempt")
        return
    row = _locked(session, run_id, share=True)
    if attempt is not None:
        _check_attempt(row, attempt)


def get(session: Session, run_id: str) -> Run:
    """The run of that id."""
    return _to_record(_known(session, run_id, session.get(RunRow, run_id)))


def list_runs(session: Session) -> list[Run]:
    """Every run, newest first."""
    rows = session.scalars(select(RunRow).order_by(RunRow.created_at.desc(), RunRow.id.desc()))
    return [_to_record(row) for row in rows]


def _locked(session: Session, run_id: str, share: bool = False) -> RunRow:
    lock = {"read": share, "key_share": not share}
    return _known(session, run_id, session.get(RunRow, run_id, with_for_update=lock))


def _known(session: Session, run_id: str, row: RunRow | None) -> RunRow:
    if row is None:
        raise NotFound.among(session.scalars(select(RunRow.id).order_by(RunRow.created_at.desc())), "run", run_id)
    return row


def _check_attempt(row: RunRow, attempt: int) -> None:
    if row.attempt != attempt:
        raise Conflict(
            f"attempt {attempt} of run {row.id!r} is stale: the run is at attempt {row.attempt}",
            hint="stop this attempt; the later one goes on",
        )


def _to(row: RunRow, status: RunStatus) -> Run:
    row.status, row.updated_at = status, datetime.now(UTC)
    return _to_record(row)


def _to_record(row: RunRow) -> Run:
    return Run(
        id=row.id,
        status=cast(RunStatus, row.status),
        attempt=row.attempt,
        config=row.config,
        error_code=row.error_code,
        mlflow_run_id=row.mlflow_run_id,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
