"""The append-only history of aliases, chained by hash: an event that was edited, dropped or cut off shows."""

from datetime import UTC
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from .canonical import hash_of
from .errors import IntegrityError
from .models import AliasRow, EventRow, PromptRow, ServingRow
from .prompts import known_prompt
from .records import Action, AliasEvent

EVENTS = select(EventRow, PromptRow.name).join(PromptRow, PromptRow.id == EventRow.prompt_id)


def append(session: Session, serving: ServingRow, event: EventRow, name: str) -> AliasEvent:
    """Add an event after the last one."""
    event.previous = serving.head
    event.hash = serving.head = hash_of_event(event, name)
    session.add(event)
    session.flush()
    return _to_record(event, name)


def list_events(session: Session, name: str, alias: str | None = None) -> list[AliasEvent]:
    """The events of a prompt, or of one of its aliases, newest first."""
    query = EVENTS.where(EventRow.prompt_id == known_prompt(session, name).id)
    if alias is not None:
        query = query.where(EventRow.alias == alias)
    return [_to_record(*row) for row in session.execute(query.order_by(EventRow.id.desc()))]


def latest(session: Session, prompt_id: int, alias: str) -> AliasEvent | None:
    """The event that made an alias what it is."""
    query = EVENTS.where(EventRow.prompt_id == prompt_id, EventRow.alias == alias)
    row = session.execute(query.order_by(EventRow.generation.desc()).limit(1)).first()
    return _to_record(*row) if row else None


def standing(session: Session, name: str | None = None) -> list[AliasEvent]:
    """The event that made each alias what it is, by prompt and alias."""
    same = (EventRow.prompt_id == AliasRow.prompt_id) & (EventRow.alias == AliasRow.name)
    query = EVENTS.join(AliasRow, same & (EventRow.generation == AliasRow.generation))
    if name is not None:
        query = query.where(EventRow.prompt_id == known_prompt(session, name).id)
    return [_to_record(*row) for row in session.execute(query.order_by(PromptRow.name, EventRow.alias))]


def find(session: Session, hash: str) -> int | None:
    """The id of the event with that hash; what comes after it has greater ids."""
    return session.scalar(select(EventRow.id).where(EventRow.hash == hash).order_by(EventRow.id.desc()).limit(1))


def before(session: Session, prompt_id: int, alias: str) -> int | None:
    """The number that an alias named before the one it names now."""
    line = select(EventRow.old).where(EventRow.prompt_id == prompt_id, EventRow.alias == alias)
    moved = line.where(EventRow.old.is_distinct_from(EventRow.new))
    return session.scalar(moved.order_by(EventRow.generation.desc()).limit(1))


def verify(session: Session) -> int:
    """Walk the whole chain; the number of events, all of them intact."""
    previous, count = "", 0
    for event, name in session.execute(EVENTS.order_by(EventRow.id)):
        if event.previous != previous or event.hash != hash_of_event(event, name):
            raise IntegrityError(f"the history is broken at event {event.id} ({name}@{event.alias})")
        previous, count = event.hash, count + 1
    if session.get_one(ServingRow, 1).head != previous:
        raise IntegrityError(f"the history was cut off after {count} events")
    return count


def hash_of_event(event: EventRow, name: str) -> str:
    """What an event says, and the event before it, in one hash.

    What an event does not have is left out, so that those from before there was such a thing hash as they did.
    """
    later = {"candidate": event.candidate, "percent": event.percent, "report": event.report}
    later |= {"forced": event.forced or None}
    return hash_of(
        {
            "name": name,
            "alias": event.alias,
            "generation": event.generation,
            "old": event.old,
            "new": event.new,
            "action": event.action,
            "actor": event.actor,
            "reason": event.reason,
            "at": event.at.astimezone(UTC).isoformat(),
            "previous": event.previous,
        }
        | {key: value for key, value in later.items() if value is not None}
    )


def _to_record(row: EventRow, name: str) -> AliasEvent:
    return AliasEvent(
        id=row.id,
        name=name,
        alias=row.alias,
        generation=row.generation,
        old=row.old,
        new=row.new,
        action=cast(Action, row.action),
        actor=row.actor,
        reason=row.reason,
        at=row.at,
        hash=row.hash,
        candidate=row.candidate,
        percent=row.percent,
        report=row.report,
        forced=row.forced,
    )
