"""Versions as values, each with its parents."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from .models import ParentRow, PromptRow, VersionRow
from .prompts import known_prompt
from .records import Lineage, State, Version

LISTED = ("PENDING", "READY")
AT_ONCE = 1000  # values in one question; SQLite takes 32,766

VERSIONS = select(VersionRow, PromptRow.name).join(PromptRow, PromptRow.id == VersionRow.prompt_id)


def list_versions(session: Session, name: str, *, retired: bool = False, limit: int | None = None) -> list[Version]:
    """The versions of a prompt, newest first, those still PENDING too; at most so many, if a limit is given.

    Those that were archived, deleted or given up come along only when asked for.
    """
    query = VERSIONS.where(VersionRow.prompt_id == known_prompt(session, name).id)
    if not retired:
        query = query.where(VersionRow.state.in_(LISTED))
    rows = session.execute(query.order_by(VersionRow.number.desc()).limit(limit))
    return [record for some in rows.partitions(AT_ONCE) for record in to_records(session, some)]


def of_run(session: Session, run_id: str) -> list[Version]:
    """The READY versions that a run published, by prompt."""
    query = VERSIONS.where(VersionRow.run_id == run_id, VersionRow.state == "READY").order_by(PromptRow.name)
    return to_records(session, session.execute(query).all())


def to_records(session: Session, rows: Iterable[tuple[VersionRow, str]], cards: bool = True) -> list[Version]:
    """Rows of VERSIONS as values, each with its parents; without `cards` those are empty, and are not read."""
    rows = list(rows)
    lineage: dict[int, list[Lineage]] = {}
    query = (
        select(ParentRow.version_id, PromptRow.name, VersionRow.number, VersionRow.digest, ParentRow.role)
        .join(VersionRow, VersionRow.id == ParentRow.parent_id)
        .join(PromptRow, PromptRow.id == VersionRow.prompt_id)
        .where(ParentRow.version_id.in_([row.id for row, _ in rows]))
        .order_by(ParentRow.parent_id, ParentRow.role)
    )
    for version_id, name, number, digest, role in session.execute(query):
        lineage.setdefault(version_id, []).append(Lineage(name, number, digest, role))
    return [to_record(row, name, tuple(lineage.get(row.id, ())), row.card if cards else {}) for row, name in rows]


def to_record(
    row: VersionRow | Row[Any], name: str, parents: tuple[Lineage, ...], card: Mapping[str, object] | None = None
) -> Version:
    """A row with the columns of a version as a value; its card is another one where that is given."""
    return Version(
        id=row.id,
        name=name,
        number=row.number,
        digest=row.digest,
        size=row.size,
        card=row.card if card is None else card,
        state=cast(State, row.state),
        run_id=row.run_id,
        created_by=row.created_by,
        created_at=row.created_at,
        message=row.message,
        parents=parents,
    )
