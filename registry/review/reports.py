"""Gate reports: kept whether the gates were passed or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..canonical import hash_of, plain
from ..models import PromptRow
from ..prompts import known_prompt
from ..records import Version
from . import ledger
from .ledger import Line, utc
from .tables import ReportRow


@dataclass(frozen=True)
class Findings:
    """What gates found of a version: `details` has each gate's numbers, and no text of a row."""

    version: Version
    alias: str
    policy: str
    baseline: int | None
    passed: bool
    details: Mapping[str, object]


@dataclass(frozen=True)
class GateReport:
    """The same as it was kept; its hash stands for it in the history of the alias."""

    name: str
    number: int
    alias: str
    policy: str
    baseline: int | None
    passed: bool
    details: Mapping[str, object]
    actor: str
    at: datetime
    hash: str


def record(session: Session, findings: Findings, actor: str) -> GateReport:
    """Keep a report."""
    version = findings.version
    row = ReportRow(
        prompt_id=known_prompt(session, version.name).id,
        number=version.number,
        alias=findings.alias,
        policy=findings.policy,
        baseline=findings.baseline,
        passed=findings.passed,
        details=plain(findings.details, "gate report"),
        actor=actor,
        at=datetime.now(UTC),
    )
    return _to_record(keep(session, row, version.name), version.name)


def keep(session: Session, row: ReportRow, name: str) -> ReportRow:
    """Add a report of a prompt of that name, and a line of it."""
    row.hash = _hash(row, name)
    session.add(row)
    session.flush()
    outcome, line = "passed" if row.passed else "refused", f"{name}:{row.number} for {row.alias}"
    ledger.append(session, Line("gate", line, outcome, row.actor, "", row.at, row.hash))
    return row


def of_version(session: Session, version: Version) -> list[GateReport]:
    """The reports of a version, newest first."""
    query = select(ReportRow).join(PromptRow, PromptRow.id == ReportRow.prompt_id)
    query = query.where(PromptRow.name == version.name, ReportRow.number == version.number)
    return [_to_record(row, version.name) for row in session.scalars(query.order_by(ReportRow.id.desc()))]


def find(session: Session, hash: str) -> ReportRow | None:
    """The report of that hash."""
    return session.scalar(select(ReportRow).where(ReportRow.hash == hash))


def contents(session: Session) -> dict[str, str]:
    """What every row says now, by its hash."""
    query = select(ReportRow, PromptRow.name).join(PromptRow, PromptRow.id == ReportRow.prompt_id)
    return {
        row.hash if row.hash == _hash(row, name) else f"not {row.hash}": f"the gate report of {name}:{row.number}"
        for row, name in session.execute(query)
    }


def _hash(row: ReportRow, name: str) -> str:
    return hash_of(
        {
            "name": name,
            "number": row.number,
            "alias": row.alias,
            "policy": row.policy,
            "baseline": row.baseline,
            "passed": row.passed,
            "details": row.details,
            "actor": row.actor,
            "at": utc(row.at),
        }
    )


def _to_record(row: ReportRow, name: str) -> GateReport:
    return GateReport(
        name=name,
        number=row.number,
        alias=row.alias,
        policy=row.policy,
        baseline=row.baseline,
        passed=row.passed,
        details=row.details,
        actor=row.actor,
        at=row.at,
        hash=row.hash,
    )
