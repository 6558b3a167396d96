"""The version that an alias names, in one question: what is asked most often."""

from sqlalchemy import Connection, Table, bindparam, exists, select

from .models import AliasRow, ParentRow, PromptRow, VersionRow
from .records import Lineage, Version
from .versions import to_record

_TABLES: list[Table] = [row.__table__ for row in (AliasRow, PromptRow, VersionRow, ParentRow)]  # pyright: ignore[reportAssignmentType]  tables, not any FromClause
_alias, _prompt, _version, _parent = _TABLES

_MADE_FROM = exists().where(_parent.c.version_id == _version.c.id)
_NAMED = (
    select(_version, _prompt.c.name, _MADE_FROM.label("made_from"))
    .join(_prompt, _prompt.c.id == _version.c.prompt_id)
    .join(_alias, (_alias.c.prompt_id == _prompt.c.id) & (_alias.c.number == _version.c.number))
    .where(_prompt.c.name == bindparam("prompt"), _alias.c.name == bindparam("alias"), _version.c.state == "READY")
)
_PARENTS = (
    select(_prompt.c.name, _version.c.number, _version.c.digest, _parent.c.role)
    .join(_version, _version.c.id == _parent.c.parent_id)
    .join(_prompt, _prompt.c.id == _version.c.prompt_id)
    .where(_parent.c.version_id == bindparam("id"))
    .order_by(_parent.c.parent_id, _parent.c.role)
)


def named(connection: Connection, prompt: str, alias: str) -> Version | None:
    """The version; None where the alias names none, which is for others to explain."""
    row = connection.execute(_NAMED, {"prompt": prompt, "alias": alias}).first()
    if row is None:
        return None
    parents = connection.execute(_PARENTS, {"id": row.id}) if row.made_from else ()
    return to_record(row, row.name, tuple(Lineage(*parent) for parent in parents))
