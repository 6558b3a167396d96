"""Approvals: a version goes to a protected alias when enough people other than its author have said yes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..canonical import hash_of
from ..errors import Refused
from ..models import PromptRow, VersionRow
from ..prompts import known_prompt
from ..records import Version
from . import ledger
from .ledger import Line, utc
from .tables import ApprovalRow


@dataclass(frozen=True)
class Approval:
    """One yes to a version for an alias."""

    name: str
    number: int
    alias: str
    approver: str
    reason: str
    at: datetime


def approve(session: Session, version: Version, alias: str, approver: str, reason: str) -> Approval:
    """Say yes; saying it again changes nothing.

    Raises:
        Refused: the version is the approver's own.
    """
    if approver == version.created_by:
        raise Refused(
            f"{version.reference} is {approver}'s own version, so the yes has to come from somebody else",
            hint=f"promptctl approve {version.reference} --to {alias}, by another person",
        )
    prompt = known_prompt(session, version.name)
    lock = {"key_share": True}  # who says the same at once waits
    session.get_one(VersionRow, version.id, with_for_update=lock)
    said = select(ApprovalRow).where(ApprovalRow.prompt_id == prompt.id, ApprovalRow.number == version.number)
    row = session.scalar(said.where(ApprovalRow.alias == alias, ApprovalRow.approver == approver))
    if row is None:
        row = ApprovalRow(
            prompt_id=prompt.id,
            number=version.number,
            alias=alias,
            approver=approver,
            reason=reason,
            at=datetime.now(UTC),
        )
        keep(session, row, prompt.name)
    return _to_record(row, version.name)


def keep(session: Session, row: ApprovalRow, name: str) -> None:
    """Add an approval of a version of that prompt, and a line of it."""
    session.add(row)
    session.flush()
    what = f"{name}:{row.number} for {row.alias}"
    ledger.append(session, Line("approve", what, "", row.approver, row.reason, row.at, _hash(row, name)))


def listed(session: Session, version: Version | None, alias: str | None = None) -> list[Approval]:
    """The approvals of a version, or of all, newest first."""
    query = select(ApprovalRow, PromptRow.name).join(PromptRow, PromptRow.id == ApprovalRow.prompt_id)
    if version is not None:
        query = query.where(PromptRow.name == version.name, ApprovalRow.number == version.number)
    if alias is not None:
        query = query.where(ApprovalRow.alias == alias)
    return [_to_record(row, name) for row, name in session.execute(query.order_by(ApprovalRow.id.desc()))]


def check(session: Session, version: Version, alias: str, needed: int, approvers: Sequence[str]) -> None:
    """Let through what enough people approved.

    Raises:
        Refused: saying how many are missing, and who may approve.
    """
    said = {one.approver for one in listed(session, version, alias)} - {version.created_by}
    counted = said & {*approvers} if approvers else said
    missing = needed - len(counted)
    if missing > 0:
        who = f" of {', '.join(sorted({*approvers} - counted - {version.created_by}))}" if approvers else ""
        raise Refused(
            f"{version.reference} has {len(counted)} of {needed} approvals for {version.name}@{alias}:"
            f" {missing} missing{who}; its author {version.created_by} does not count",
            hint=f"promptctl approve {version.reference} --to {alias}",
        )


def contents(session: Session) -> dict[str, str]:
    """What every row says now, by its hash."""
    query = select(ApprovalRow, PromptRow.name).join(PromptRow, PromptRow.id == ApprovalRow.prompt_id)
    return {
        _hash(row, name): f"the approval of {name}:{row.number} for {row.alias} by {row.approver}"
        for row, name in session.execute(query)
    }


def _hash(row: ApprovalRow, name: str) -> str:
    return hash_of(
        {
            "name": name,
            "number": row.number,
            "alias": row.alias,
            "approver": row.approver,
            "reason": row.reason,
            "at": utc(row.at),
        }
    )


def _to_record(row: ApprovalRow, name: str) -> Approval:
    return Approval(name, row.number, row.alias, row.approver, row.reason, row.at)
