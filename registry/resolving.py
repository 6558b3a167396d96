"""From a reference to the version it names, or to an error that says what to do."""

from collections.abc import Sequence

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from .errors import Invalid, NotFound
from .models import AliasRow, PromptRow, VersionRow
from .prompts import known_prompt
from .records import Version
from .references import ByAlias, ByDigest, ByNumber, parse
from .versions import VERSIONS, to_records

RESOLVED = ("READY", "ARCHIVED")
AFTER_HEX = "g"


def resolve(session: Session, reference: str) -> Version:
    """The version a reference names, READY or ARCHIVED."""
    named = parse(reference)
    prompt = known_prompt(session, named.prompt)
    found = VERSIONS.where(VersionRow.prompt_id == prompt.id)
    match named:
        case ByNumber(number=number):
            rows = session.execute(found.where(VersionRow.number == number)).all()
        case ByDigest(start=start):
            within = VersionRow.digest.between(start, start + AFTER_HEX)  # a prefix, as an index can look it up
            there = found.where(within, VersionRow.state.in_(RESOLVED)).order_by(VersionRow.state.desc())
            rows = session.execute(there.order_by(VersionRow.number.desc())).all()
            _one_digest(rows, reference)
        case ByAlias(alias=alias):
            named_now = select(AliasRow.number).where(AliasRow.prompt_id == prompt.id, AliasRow.name == alias)
            rows = session.execute(found.where(VersionRow.number.in_(named_now))).all()
            if not rows:
                raise _unset(session, prompt, alias)
    if not rows:
        raise NotFound(
            f"prompt {prompt.name!r} has no version {reference.removeprefix(prompt.name)[1:]}",
            hint="look at its list of versions",
        )
    if (state := rows[0][0].state) not in RESOLVED:
        raise _unreadable(reference, state)
    return to_records(session, rows[:1])[0]


def _unreadable(reference: str, state: str) -> NotFound:
    if state == "DELETED":
        return NotFound(f"version {reference} was deleted", hint="look at the prompt's list of versions")
    given_up = ", and it was given up" if state == "FAILED" else ""
    return NotFound(
        f"version {reference} is not ready: publishing it has not finished{given_up}",
        hint="resume the run that publishes it",
    )


def _one_digest(rows: Sequence[Row[VersionRow, str]], reference: str) -> None:
    if len({row.digest for row, _ in rows}) > 1:
        raise Invalid(
            f"{reference} is ambiguous: it fits {', '.join(f'{name}:{row.number}' for row, name in rows)}",
            hint="write more digits of the digest",
        )


def _unset(session: Session, prompt: PromptRow, alias: str) -> NotFound:
    others = session.scalars(select(AliasRow.name).where(AliasRow.prompt_id == prompt.id)).all()
    newest = session.scalar(
        select(func.max(VersionRow.number)).where(VersionRow.prompt_id == prompt.id, VersionRow.state == "READY")
    )
    hint = f"promote one: promptctl promote {prompt.name}:{newest}" if newest else "publish one first"
    has = f"; it has {', '.join(sorted(others))}" if others else ""
    return NotFound(f"prompt {prompt.name!r} has no {alias} version yet{has}", hint=hint)
