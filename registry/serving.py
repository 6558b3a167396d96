"""What serving follows: every alias with its version, as of an epoch that counts the moves."""

from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from . import history
from .models import AliasRow, EventRow, ServingRow, VersionRow
from .records import ServingState, Split, Version
from .versions import VERSIONS, to_records


def epoch(session: Session) -> int:
    """How many times aliases have moved."""
    return session.get_one(ServingRow, 1).epoch


def head(session: Session) -> str:
    """The hash of the last event."""
    return session.get_one(ServingRow, 1).head


def serving_state(session: Session, since: str | None = None) -> ServingState:
    """Every alias with the version it names, and the candidates beside them; or those that changed since a head."""
    serving = session.get_one(ServingRow, 1)
    seen = None if since is None else history.find(session, since)
    versions, candidates = (_named(session, column, seen) for column in (AliasRow.number, AliasRow.candidate))
    aliases = {(version.name, alias.name): version for version, alias in versions}
    splits = {
        (version.name, alias.name): Split(version, alias.percent)
        for version, alias in candidates
        if alias.percent is not None
    }
    return ServingState(serving.epoch, aliases, splits, serving.head, whole=seen is None)


def _named(session: Session, column: InstrumentedAttribute[Any], after: int | None) -> list[tuple[Version, AliasRow]]:
    """The versions whose numbers stand in a column of the aliases; of those alone that have an event after that one.

    They have no cards: thousands of them are more than their tensors.
    """
    query = (
        VERSIONS.options(defer(VersionRow.card))
        .add_columns(AliasRow)
        .join(AliasRow, (AliasRow.prompt_id == VersionRow.prompt_id) & (column == VersionRow.number))
    )
    if after is not None:
        moved = select(EventRow.prompt_id, EventRow.alias).where(EventRow.id > after)
        query = query.where(tuple_(AliasRow.prompt_id, AliasRow.name).in_(moved))
    rows = session.execute(query).all()
    versions = to_records(session, [(row, name) for row, name, _ in rows], cards=False)
    return [(version, alias) for version, (_, _, alias) in zip(versions, rows, strict=True)]


def in_line(session: Session) -> ServingRow:
    """The one row that everybody who moves an alias locks first: moves happen one after the other."""
    return session.get_one(ServingRow, 1, with_for_update=True)
