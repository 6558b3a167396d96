"""Moving aliases: all moves of a promotion or none, each a forward event, and one new epoch for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.orm import Session

from . import history
from .errors import Conflict, Invalid, NotFound
from .models import AliasRow, EventRow, ServingRow
from .prompts import known_prompt
from .records import AliasEvent, Move, Version
from .references import check_name
from .resolving import resolve
from .serving import in_line


@dataclass(frozen=True)
class Mover:
    """Who moves aliases, why, and by which action."""

    actor: str
    reason: str
    action: Literal["set", "rollback"] = "set"


def promote(session: Session, moves: Sequence[Move], mover: Mover) -> list[AliasEvent]:
    """One event for each move: a new one, or the current one where the alias names that version already."""
    serving = in_line(session)
    targets = [
        (resolve(session, move.reference), check_name(move.alias, "alias"), move.expected_generation) for move in moves
    ]
    moved = [f"{version.name}@{alias}" for version, alias, _ in targets]
    if repeated := {line for line in moved if moved.count(line) > 1}:
        raise Invalid(f"several moves of {', '.join(sorted(repeated))}", hint="move each alias once")
    before = serving.head
    events = [_move(session, serving, mover, *target) for target in targets]
    if serving.head != before:
        serving.epoch += 1
    return events


def rollback(session: Session, name: str, alias: str, mover: Mover) -> AliasEvent:
    """A forward event to the version the alias named before its current event."""
    serving = in_line(session)
    current = history.latest(session, known_prompt(session, name).id, check_name(alias, "alias"))
    if current is None:
        raise NotFound(f"prompt {name!r} has no {alias} version to roll back", hint="promote a version first")
    if current.old is None:
        raise Conflict(
            f"{name}@{alias} has named no version but {name}:{current.new}: there is nothing to roll back to",
            hint="promote another version",
        )
    event = _move(session, serving, mover, resolve(session, f"{name}:{current.old}"), alias, None)
    serving.epoch += 1
    return event


def _move(
    session: Session, serving: ServingRow, mover: Mover, version: Version, alias: str, expected: int | None
) -> AliasEvent:
    prompt = known_prompt(session, version.name)
    row = session.get(AliasRow, (prompt.id, alias))
    generation = row.generation if row else 0
    if expected not in (None, generation):
        raise Conflict(
            f"{version.name}@{alias} is at generation {generation}, not {expected}: somebody moved it",
            hint="look at its history, then decide again",
        )
    current = history.latest(session, prompt.id, alias)
    if current is not None and current.new == version.number:
        return current
    if row is None:
        session.add(AliasRow(prompt_id=prompt.id, name=alias, number=version.number))
    else:
        row.number = version.number
    event = EventRow(
        prompt_id=prompt.id,
        alias=alias,
        generation=generation + 1,
        old=current and current.new,
        new=version.number,
        action=mover.action,
        actor=mover.actor,
        reason=mover.reason,
        at=datetime.now(UTC),
    )
    return history.append(session, serving, event, version.name)
