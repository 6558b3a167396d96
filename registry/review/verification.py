"""The whole audit: the history of aliases, the ledger, and whether the rows that they speak of are still the same."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import history
from ..errors import IntegrityError
from ..models import AliasRow, EventRow, PromptRow, ServingRow
from . import approvals, issued, ledger, reports
from .tables import LedgerHeadRow, ReportRow


@dataclass(frozen=True)
class Verified:
    """How many moves of aliases there are, and lines of the ledger, all of them intact; and the newest hash of each."""

    moves: int
    lines: int
    newest_move: str
    newest_line: str


def verify(session: Session) -> Verified:
    """Walk both chains, and compare every row that they speak of.

    Raises:
        IntegrityError: naming the first that is not as it was written down.
    """
    moves = history.verify(session)
    _check_aliases(session)
    lines = ledger.lines(session)
    made, ended = issued.contents(session)
    now: Mapping[str, Mapping[str, str]] = {
        "gate": reports.contents(session),
        "approve": approvals.contents(session),
        "token create": made,
        "token revoke": ended,
    }
    for number, line in lines:
        if line.content not in now[line.action]:
            raise IntegrityError(
                f"what line {number} of the ledger wrote down ({line.action}: {line.object}) was changed or removed"
            )
    for action, rows in now.items():
        written = {line.content for _, line in lines if line.action == action}
        if stranger := next((what for content, what in rows.items() if content not in written), None):
            raise IntegrityError(f"{stranger} is not what the ledger wrote down, if it wrote of it at all")
    heads = session.get_one(ServingRow, 1).head, session.get_one(LedgerHeadRow, 1).hash
    return Verified(moves, len(lines), *heads)


def _check_aliases(session: Session) -> None:
    """An alias names what its last event says, and an event's report is there."""
    last = (EventRow.prompt_id == AliasRow.prompt_id) & (EventRow.alias == AliasRow.name)
    query = (
        select(AliasRow, EventRow, PromptRow.name)
        .join(PromptRow, PromptRow.id == AliasRow.prompt_id)
        .outerjoin(EventRow, last & (EventRow.generation == AliasRow.generation))
    )
    for alias, event, name in session.execute(query):
        said = event and (event.new, event.candidate, event.percent)
        if said != (alias.number, alias.candidate, alias.percent):
            raise IntegrityError(f"{name}@{alias.name} is not where its history left it")
    missing = select(EventRow.id).where(EventRow.report.is_not(None), EventRow.report.not_in(select(ReportRow.hash)))
    if (event_id := session.scalar(missing.limit(1))) is not None:
        raise IntegrityError(f"the gate report of event {event_id} is not there")
