"""Checking once more, while nobody else can move an alias, what was decided of a move before it."""

from sqlalchemy.orm import Session

from ..errors import Conflict
from ..records import Clearance, Version
from . import approvals, reports


def check(session: Session, version: Version, alias: str, current: int | None, clearance: Clearance) -> None:
    """Let a move through that is still the one that was decided on; `current` is what the alias names.

    Raises:
        Conflict: the alias names another version than the gates compared with, or the report is of another move.
        Refused: approvals are missing.
    """
    line = f"{version.name}@{alias}"
    if current != clearance.baseline:
        was, now = (f"{version.name}:{one}" if one else "nothing" for one in (clearance.baseline, current))
        raise Conflict(
            f"{line} named {was} when the gates ran and names {now}: somebody moved it",
            hint="give the command again: the gates then compare with what it names now",
        )
    if clearance.report is not None:
        row = reports.find(session, clearance.report)
        fits = row is not None and (row.number, row.alias, row.policy, row.baseline) == (
            *(version.number, alias, clearance.policy),
            clearance.baseline,
        )
        if row is None or not fits or not (row.passed or clearance.forced):
            raise Conflict(
                f"the gate report is not one by which {version.reference} may go to {line}", hint="run the gates again"
            )
    if clearance.approvals:
        approvals.check(session, version, alias, clearance.approvals, clearance.approvers)
