"""Moving aliases: all moves of a promotion or none, each a forward event, and one new epoch for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.orm import Session

from . import history, retiring
from .errors import Conflict, Invalid, NotFound
from .models import AliasRow, EventRow, PromptRow, ServingRow
from .prompts import known_prompt
from .records import Action, AliasEvent, Clearance, Move, Version
from .references import check_name
from .resolving import resolve
from .review import clearance
from .serving import in_line
from .webhooks import outbox


@dataclass(frozen=True)
class Mover:
    """Who moves aliases, why, and by which action."""

    actor: str
    reason: str
    action: Literal["set", "rollback"] = "set"


@dataclass(frozen=True)
class Named:
    """What an alias names: a version, and perhaps a candidate beside it."""

    number: int
    candidate: int | None = None
    percent: int | None = None


def promote(session: Session, moves: Sequence[Move], mover: Mover) -> list[AliasEvent]:
    """One event for each move: a new one, or the current one where the alias is so already."""
    serving = in_line(session)
    targets = [(resolve(session, move.reference), check_name(move.alias, "alias"), move) for move in moves]
    moved = [f"{version.name}@{alias}" for version, alias, _ in targets]
    if repeated := {line for line in moved if moved.count(line) > 1}:
        raise Invalid(f"several moves of {', '.join(sorted(repeated))}", hint="move each alias once")
    before = serving.head
    events = [_moved(session, serving, mover, *target) for target in targets]
    if serving.head != before:
        serving.epoch += 1
    return events


def rollback(session: Session, name: str, alias: str, mover: Mover) -> AliasEvent:
    """A forward event: the split ends, or without one the alias names the version before."""
    serving = in_line(session)
    prompt = known_prompt(session, name)
    row = session.get(AliasRow, (prompt.id, check_name(alias, "alias")))
    if row is None:
        raise NotFound(f"prompt {name!r} has no {alias} version to roll back", hint="promote a version first")
    number = row.number if row.candidate is not None else history.before(session, prompt.id, alias)
    if number is None:
        raise Conflict(
            f"{name}@{alias} has named no version but {name}:{row.number}: there is nothing to roll back to",
            hint="promote another version",
        )
    event = _step(session, serving, mover, prompt, alias, Named(number))
    serving.epoch += 1
    return event


def _moved(session: Session, serving: ServingRow, mover: Mover, version: Version, alias: str, move: Move) -> AliasEvent:
    prompt = known_prompt(session, version.name)
    row = session.get(AliasRow, (prompt.id, alias))
    generation = row.generation if row else 0
    if move.expected_generation not in (None, generation):
        raise Conflict(
            f"{version.name}@{alias} is at generation {generation}, not {move.expected_generation}: somebody moved it",
            hint="look at its history, then decide again",
        )
    goal = _goal(version, alias, move, row and _named(row))
    current = history.latest(session, prompt.id, alias)
    if row is not None and current is not None and _named(row) == goal:
        return current
    if move.clearance is not None:
        clearance.check(session, version, alias, row and row.number, move.clearance)
    return _step(session, serving, mover, prompt, alias, goal, move.clearance)


def _goal(version: Version, alias: str, move: Move, now: Named | None) -> Named:
    """What the alias is to name after a move."""
    line = f"{version.name}@{alias}"
    if not 0 <= move.percent <= 100 or (move.shadow and move.percent != 100):
        raise Invalid(f"a shadow gets no percent of the rows, and a candidate 0 to 100, not {move.percent}")
    if move.percent == 100 and not move.shadow:
        return Named(version.number)
    if now is None:
        raise NotFound(f"{line} names no version yet, so there is none to keep", hint="promote one without --percent")
    if now.number == version.number:
        raise Conflict(f"{line} names {version.reference} itself", hint="give it another version as its candidate")
    if move.percent > 0:
        return Named(now.number, version.number, 0 if move.shadow else move.percent)
    if now.candidate not in (None, version.number):
        raise Conflict(
            f"the candidate of {line} is {version.name}:{now.candidate}, not {version.reference}",
            hint=f"end it with {version.name}:{now.candidate}, or with promptctl rollback",
        )
    return Named(now.number)


def _step(
    session: Session,
    serving: ServingRow,
    mover: Mover,
    prompt: PromptRow,
    alias: str,
    goal: Named,
    cleared: Clearance | None = None,
) -> AliasEvent:
    """Change the row, and write the event."""
    retiring.check_ready(session, prompt, (goal.number, goal.candidate))
    row = session.get(AliasRow, (prompt.id, alias))
    old, generation = (row.number, row.generation) if row else (None, 0)
    if row is None:
        row = AliasRow(prompt_id=prompt.id, name=alias)
        session.add(row)
    row.number, row.candidate, row.percent = goal.number, goal.candidate, goal.percent
    event = EventRow(
        prompt_id=prompt.id,
        alias=alias,
        generation=generation + 1,
        old=old,
        new=goal.number,
        candidate=goal.candidate,
        percent=goal.percent,
        action=_action(mover, old, goal),
        actor=mover.actor,
        reason=mover.reason,
        at=datetime.now(UTC),
        report=cleared and cleared.report,
        forced=cleared is not None and cleared.forced,
    )
    written = history.append(session, serving, event, prompt.name)
    outbox.moved(session, written, serving.epoch + 1)
    return written


def _action(mover: Mover, old: int | None, goal: Named) -> Action:
    if mover.action == "rollback" or old != goal.number:
        return mover.action
    if goal.candidate is None:
        return "stop"
    return "canary" if goal.percent else "shadow"


def _named(row: AliasRow) -> Named:
    return Named(row.number, row.candidate, row.percent)
