"""Taking versions away: archived ones come back, deleted ones do not. What an alias names stays.

Each step is an event of a chain like that of the aliases. Whoever takes one waits in line with the promotions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from .canonical import hash_of
from .errors import Conflict, IntegrityError
from .models import AliasRow, BlobRow, PromptRow, VersionEventRow, VersionRow
from .records import State, Version
from .resolving import resolve
from .serving import in_line
from .versions import VERSIONS, to_records

Retirement = Literal["archive", "restore", "delete"]

BECOMES: dict[Retirement, State] = {"archive": "ARCHIVED", "restore": "READY", "delete": "DELETED"}
EVENTS = (
    select(VersionEventRow, PromptRow.name, VersionRow.number)
    .join(VersionRow, VersionRow.id == VersionEventRow.version_id)
    .join(PromptRow, PromptRow.id == VersionRow.prompt_id)
    .order_by(VersionEventRow.id)
)


@dataclass(frozen=True)
class Retiring:
    """What happens to versions, by whom, and why."""

    action: Retirement
    actor: str
    reason: str = ""


def retire(session: Session, references: Sequence[str], how: Retiring) -> list[Version]:
    """All of the versions take the step, or none; one that is so already takes none."""
    in_line(session)
    versions = {version.id: version for version in (resolve(session, reference) for reference in references)}
    for version in versions.values():
        if version.state != BECOMES[how.action]:
            _step(session, version, how)
    rows = session.execute(VERSIONS.where(VersionRow.id.in_(versions))).all()
    return sorted(to_records(session, rows), key=lambda version: list(versions).index(version.id))


def check_ready(session: Session, prompt: PromptRow, numbers: Iterable[int | None]) -> None:
    """Refuse to have an alias name a version that was taken away."""
    wanted = [number for number in numbers if number is not None]
    query = select(VersionRow.number, VersionRow.state).where(VersionRow.prompt_id == prompt.id)
    for number, state in session.execute(query.where(VersionRow.number.in_(wanted), VersionRow.state != "READY")):
        reference = f"{prompt.name}:{number}"
        archived = state == "ARCHIVED"
        raise Conflict(
            f"{reference} is {'archived' if archived else 'deleted'}: no alias can name it",
            hint=f"bring it back with promptctl prompt restore {reference}, or promote another version"
            if archived
            else "promote another version",
        )


def last_hash(session: Session) -> str:
    """Where the chain ends."""
    last = select(func.max(VersionEventRow.id)).scalar_subquery()
    return session.scalar(select(VersionEventRow.hash).where(VersionEventRow.id == last)) or ""


def append(session: Session, event: VersionEventRow, reference: str) -> None:
    """Add an event after the last one."""
    event.previous = last_hash(session)
    event.hash = hash_of_event(event, reference)
    session.add(event)
    session.flush()


def verify(session: Session) -> int:
    """Walk the chain, and compare each version's state with its last event; the number of events."""
    previous, count = "", 0
    states: dict[int, State] = {}
    for event, name, number in session.execute(EVENTS):
        if event.previous != previous or event.hash != hash_of_event(event, f"{name}:{number}"):
            raise IntegrityError(f"the history is broken at version event {event.id} ({name}:{number})")
        previous, count = event.hash, count + 1
        states[event.version_id] = BECOMES[cast(Retirement, event.action)]
    touched = or_(VersionRow.state.in_(("ARCHIVED", "DELETED")), VersionRow.id.in_(select(VersionEventRow.version_id)))
    for row, name in session.execute(VERSIONS.where(touched)):
        if row.state != states.get(row.id, "READY"):
            raise IntegrityError(f"{name}:{row.number} is {row.state}, and its history does not say so")
    return count


def hash_of_event(event: VersionEventRow, reference: str) -> str:
    """What an event says, and the event before it, in one hash."""
    return hash_of(
        {
            "version": reference,
            "action": event.action,
            "actor": event.actor,
            "reason": event.reason,
            "at": event.at.astimezone(UTC).isoformat(),
            "previous": event.previous,
        }
    )


def _step(session: Session, version: Version, how: Retiring) -> None:
    if how.action != "restore":
        _refuse_named(session, version, how.action)
    now = datetime.now(UTC)
    row = session.get_one(VersionRow, version.id, with_for_update={"key_share": True}, populate_existing=True)
    row.state = BECOMES[how.action]
    session.flush()
    if how.action == "delete":  # a reader that was about to fetch the blob still finds it for a while
        session.execute(update(BlobRow).where(BlobRow.digest == row.digest).values(touched_at=now))
    event = VersionEventRow(version_id=row.id, action=how.action, actor=how.actor, reason=how.reason, at=now)
    append(session, event, version.reference)


def _refuse_named(session: Session, version: Version, action: Retirement) -> None:
    of_prompt = select(AliasRow.name).join(PromptRow, PromptRow.id == AliasRow.prompt_id)
    here = or_(AliasRow.number == version.number, AliasRow.candidate == version.number)
    named = session.scalars(of_prompt.where(PromptRow.name == version.name, here).order_by(AliasRow.name)).all()
    if named:
        raise Conflict(
            f"cannot {action} {version.reference}: {' and '.join(f'{version.name}@{alias}' for alias in named)} "
            "answers with it",
            hint="promote another version there first",
        )
