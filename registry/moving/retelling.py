"""The histories of a file told on behind those that are here: each event chained anew, each alias where it led."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.orm import Session

from .. import history, retiring
from ..errors import Conflict, IntegrityError
from ..models import AliasRow, EventRow, PromptRow, ServingRow
from ..review import approvals, reports
from ..review.tables import ApprovalRow, ReportRow
from .batches import batches
from .contents import Key, Said, event_row, step_row
from .lines import EventLine


@dataclass(frozen=True)
class Ids:
    """The ids here of what the file names."""

    prompts: Mapping[str, int]
    versions: Mapping[Key, int]
    fresh: bool  # nothing was here, so ids are those of the file


def add_steps(session: Session, said: Said, new: Collection[Key], ids: Ids) -> None:
    """The steps of the versions that are new."""
    previous = retiring.last_hash(session)
    for step in said.steps:
        key = (step.name, step.number)
        if key not in new:  # what happened to a version here counts here
            continue
        row = step_row(step)
        row.version_id, row.previous = ids.versions[key], previous
        row.hash = previous = retiring.hash_of_event(row, f"{step.name}:{step.number}")
        if ids.fresh:
            row.id = step.id
        session.add(row)
    session.flush()


def add_events(session: Session, said: Said, serving: ServingRow, ids: Ids) -> int:
    """The events that are missing; how many.

    Raises:
        Conflict: an alias went another way here.
    """
    here = _events_here(session, list(ids.prompts.values()))
    named: dict[tuple[str, str], EventLine] = {}
    added = 0
    for event in said.events:
        line = here.get((ids.prompts[event.name], event.alias), [])
        row = event_row(event)
        if event.generation <= len(line):
            if _told(line[event.generation - 1]) != _told(row):
                raise Conflict(
                    f"{event.name}@{event.alias} went another way here, from its step {event.generation} on",
                    hint="import the file into an empty registry",
                )
            continue
        row.prompt_id, row.previous = ids.prompts[event.name], serving.head
        row.hash = serving.head = history.hash_of_event(row, event.name)
        if ids.fresh:
            row.id = event.id
        session.add(row)
        named[event.name, event.alias] = event
        added += 1
    session.flush()
    _point(session, named.values(), ids)
    return added


def add_reviews(session: Session, said: Said, ids: Ids) -> None:
    """The gate reports and approvals that are missing; the ledger here gets a line of each.

    Raises:
        IntegrityError: a report was edited.
    """
    here = reports.contents(session)
    for line in said.reports:
        if line.hash not in here:
            row = ReportRow(**line.model_dump(exclude={"kind", "name", "hash"}), prompt_id=ids.prompts[line.name])
            if reports.keep(session, row, line.name).hash != line.hash:
                raise IntegrityError(f"the gate report of {line.name}:{line.number} in the file was edited")
    given = {(one.name, one.number, one.alias, one.approver) for one in approvals.listed(session, None)}
    for line in said.approvals:
        if (line.name, line.number, line.alias, line.approver) not in given:
            row = ApprovalRow(**line.model_dump(exclude={"kind", "name"}), prompt_id=ids.prompts[line.name])
            approvals.keep(session, row, line.name)


def _events_here(session: Session, prompts: Sequence[int]) -> dict[tuple[int, str], list[EventRow]]:
    found: dict[tuple[int, str], list[EventRow]] = {}
    for some in batches(prompts):
        query = select(EventRow).where(EventRow.prompt_id.in_(some)).order_by(EventRow.generation)
        for row in session.scalars(query):
            found.setdefault((row.prompt_id, row.alias), []).append(row)
    return found


def _told(row: EventRow) -> tuple[object, ...]:
    split = row.candidate, row.percent
    return row.generation, row.old, row.new, split, row.action, row.actor, row.reason, row.at, row.report


def _point(session: Session, events: Iterable[EventLine], ids: Ids) -> None:
    """Have each alias name what its last event says."""
    table: Table = AliasRow.__table__  # pyright: ignore[reportAssignmentType]  past the count of generations
    for event in events:
        prompt = session.get_one(PromptRow, ids.prompts[event.name])
        retiring.check_ready(session, prompt, (event.new, event.candidate))
        session.execute(delete(table).where(table.c.prompt_id == prompt.id, table.c.name == event.alias))
        row = {"prompt_id": prompt.id, "name": event.alias, "number": event.new, "generation": event.generation}
        session.execute(insert(table).values(**row, candidate=event.candidate, percent=event.percent))
