"""Prompts by what their versions are: one query, in which the database does all of the choosing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import Session

from ..models import AliasRow, PromptRow, VersionRow
from ..records import Prompt
from .tables import FacetRow, TagRow

FEW = 500  # prompts, whose aliases are looked up one by one; those of more are all read


@dataclass(frozen=True)
class Search:
    """Which prompts: by name, and by one version of theirs for which all the rest holds.

    `name` may have * and ?. A version fits by its card's method, task, and kind of task (`shared` for a shared
    prompt), by its tags, by an alias that names it, and by the time since which it was published.
    """

    name: str | None = None
    task: str | None = None
    kind: str | None = None
    method: str | None = None
    tags: tuple[tuple[str, str], ...] = ()  # keys with their values
    alias: str | None = None
    since: datetime | None = None
    limit: int | None = None


def find(session: Session, search: Search) -> list[Prompt]:
    """The prompts, by name; each with its newest version and all its aliases."""
    newest = (
        select(VersionRow.number)
        .where(VersionRow.prompt_id == PromptRow.id, VersionRow.state == "READY")
        .order_by(VersionRow.number.desc())
        .limit(1)
        .correlate(PromptRow)
        .scalar_subquery()
    )
    rows = session.execute(chosen(search, PromptRow, newest)).all()
    named = select(AliasRow).order_by(AliasRow.name)
    if len(rows) <= FEW:
        named = named.where(AliasRow.prompt_id.in_([row.id for row, _ in rows]))
    aliases: dict[int, dict[str, int]] = {}
    for alias in session.scalars(named):
        aliases.setdefault(alias.prompt_id, {})[alias.name] = alias.number
    return [
        Prompt(
            name=row.name,
            kind="shared" if row.name.startswith("shared/") else "task",
            latest=latest,
            aliases=aliases.get(row.id, {}),
            created_at=row.created_at,
        )
        for row, latest in rows
    ]


def chosen(search: Search, *columns: Any) -> Select[*tuple[Any, ...]]:
    """The query for these columns of the prompts that fit."""
    query = select(*columns).order_by(PromptRow.name).limit(search.limit)
    if search.name is not None:
        query = query.where(PromptRow.name.like(_pattern(search.name), escape="\\"))
    if search.kind == "shared":
        query = query.where(PromptRow.name.like("shared/%"))
    fits = list(_fits(search))
    if fits:
        query = query.where(PromptRow.id.in_(select(VersionRow.prompt_id).where(VersionRow.state == "READY", *fits)))
    return query


def _fits(search: Search) -> list[ColumnElement[bool]]:
    """What has to hold of one version."""
    facets = {"method": search.method, "task": search.task, "kind": search.kind if search.kind != "shared" else None}
    said = [
        *(_has(FacetRow, key, value) for key, value in facets.items() if value is not None),
        *(_has(TagRow, key, value) for key, value in search.tags),
    ]
    if search.since is not None:
        said.append(VersionRow.created_at >= search.since)
    if search.alias is not None:
        named = select(AliasRow.prompt_id, AliasRow.number).where(AliasRow.name == search.alias)
        said.append(tuple_(VersionRow.prompt_id, VersionRow.number).in_(named))
    return said


def _has(table: type[FacetRow] | type[TagRow], key: str, value: str) -> ColumnElement[bool]:
    return VersionRow.id.in_(select(table.version_id).where(table.key == key, table.value == value))


def _pattern(glob: str) -> str:
    """A glob as LIKE has it."""
    escaped = "".join(f"\\{character}" if character in "\\%_" else character for character in glob)
    return escaped.replace("*", "%").replace("?", "_")
