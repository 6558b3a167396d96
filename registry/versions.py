"""Versions as values, each with its parents."""

from collections.abc import Iterable, Mapping
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from .models import ParentRow, PromptRow, VersionRow
from .prompts import known_prompt
from .records import Lineage, Version

VERSIONS = select(VersionRow, PromptRow.name).join(PromptRow, PromptRow.id == VersionRow.prompt_id)


def list_versions(session: Session, name: str) -> list[Version]:
    """Every version of a prompt, newest first, those still PENDING too."""
    prompt = known_prompt(session, name)
    query = VERSIONS.where(VersionRow.prompt_id == prompt.id).order_by(VersionRow.number.desc())
    return to_records(session, session.execute(query).all())


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
    return [_to_record(row, name, tuple(lineage.get(row.id, ())), row.card if cards else {}) for row, name in rows]


def _to_record(row: VersionRow, name: str, parents: tuple[Lineage, ...], card: Mapping[str, object]) -> Version:
    return Version(
        id=row.id,
        name=name,
        number=row.number,
        digest=row.digest,
        size=row.size,
        card=card,
        state=cast(Literal["PENDING", "READY"], row.state),
        run_id=row.run_id,
        created_by=row.created_by,
        created_at=row.created_at,
        message=row.message,
        parents=parents,
    )
