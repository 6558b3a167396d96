"""Tags: words that people and programs give to versions, take away again, and find them by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..database import Database
from ..errors import Invalid
from ..late import LateDatabase
from ..models import VersionRow
from ..records import Version
from ..resolving import resolve
from .tables import TagEventRow, TagRow

KEY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}")
LONGEST = 255


@dataclass(frozen=True)
class TagEvent:
    """A tag that was set (`old` is None), changed, or taken away (`new` is None)."""

    reference: str
    key: str
    old: str | None
    new: str | None
    actor: str
    at: datetime


class Tags:
    """The tags of versions. Safe to share between threads."""

    def __init__(self, database: Database | LateDatabase) -> None:
        self._database = database

    def set(
        self, reference: str, changes: Mapping[str, str | None], *, actor: str, dry_run: bool = False
    ) -> list[TagEvent]:
        """Set tags, or take those away whose value is None; what is so already is no change.

        Raises:
            Invalid: it is no key, or no value.
        """
        for key, value in changes.items():
            _check(key, value)
        with self._database.write() as session:
            version = resolve(session, reference)
            session.get_one(VersionRow, version.id, with_for_update={"key_share": True})  # one who tags at a time
            changed = [_changed(session, version, key, value, actor) for key, value in changes.items()]
            events = [_to_record(row, version.reference) for row in changed if row is not None]
            if dry_run:
                session.rollback()
        return events

    def of(self, reference: str) -> dict[str, str]:
        """What a version is tagged with."""
        with self._database.read() as session:
            version = resolve(session, reference)
            rows = session.scalars(select(TagRow).where(TagRow.version_id == version.id).order_by(TagRow.key))
            return {row.key: row.value for row in rows}

    def history(self, reference: str) -> list[TagEvent]:
        """Every change of a version's tags, newest first."""
        with self._database.read() as session:
            version = resolve(session, reference)
            query = select(TagEventRow).where(TagEventRow.version_id == version.id).order_by(TagEventRow.id.desc())
            return [_to_record(row, version.reference) for row in session.scalars(query)]


def _changed(session: Session, version: Version, key: str, value: str | None, actor: str) -> TagEventRow | None:
    row = session.get(TagRow, (version.id, key))
    old = row.value if row else None
    if old == value:
        return None
    if row is None and value is not None:
        session.add(TagRow(version_id=version.id, key=key, value=value))
    elif row is not None and value is not None:
        row.value = value
    elif row is not None:
        session.delete(row)
    event = TagEventRow(version_id=version.id, key=key, old=old, new=value, actor=actor, at=datetime.now(UTC))
    session.add(event)
    session.flush()
    return event


def _check(key: str, value: str | None) -> None:
    if KEY.fullmatch(key) is None:
        raise Invalid(
            f"{key!r} is no tag", hint="a tag's key is 1 to 63 of a-z 0-9 . _ / - and begins with a letter or digit"
        )
    if value is not None and not (0 < len(value) <= LONGEST and value.isprintable()):
        raise Invalid(
            f"that is no value for the tag {key!r}", hint=f"a value is one line of 1 to {LONGEST} printable characters"
        )


def _to_record(row: TagEventRow, reference: str) -> TagEvent:
    return TagEvent(reference, row.key, row.old, row.new, row.actor, row.at)
