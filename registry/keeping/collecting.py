"""Taking away what nobody needs, beside publishers that may be about to store the very same bytes.

What this database does not know is left where it is: another registry may live in the same store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import exists, update
from sqlalchemy.orm import Session

from ..database import Database
from ..models import BlobRow, PromptRow, VersionRow
from ..store import Store
from . import blobs

LEASE = timedelta(hours=1)  # of what is being made, whatever the grace
AT_ONCE = 100


@dataclass(frozen=True)
class Removed:
    """Something that was taken away, or would be: a version given up, a blob, or what a killed write left."""

    kind: Literal["version", "blob", "leftover"]
    name: str
    size: int


def collect(database: Database, store: Store, grace: timedelta, *, dry_run: bool) -> list[Removed]:
    """Give up versions that are PENDING for longer than the grace, then take away blobs untouched for as long."""
    now = datetime.now(UTC)
    before, unfinished = now - grace, now - max(grace, LEASE)
    with database.write() as session:
        removed = _give_up(session, unfinished)
        if dry_run:
            removed += [Removed("blob", *blob) for marked in _marked(session, before) for blob in marked]
            session.rollback()
    if not dry_run:
        removed += _sweep(database, store, before)
    for leftover in store.leftovers():
        if leftover.at < unfinished:
            removed.append(Removed("leftover", leftover.name, leftover.size))
            if not dry_run:
                store.clear(leftover)
    return removed


def _give_up(session: Session, before: datetime) -> list[Removed]:
    """A publisher touches its blob at each attempt; one that comes back later takes its version up again."""
    touched = exists().where(BlobRow.digest == VersionRow.digest, BlobRow.touched_at >= before)
    stale = update(VersionRow).where(VersionRow.state == "PENDING", VersionRow.created_at < before, ~touched)
    told = stale.values(state="FAILED").returning(VersionRow.prompt_id, VersionRow.number)
    found = session.execute(told, execution_options={"synchronize_session": False}).all()
    named = sorted((session.get_one(PromptRow, prompt_id).name, number) for prompt_id, number in found)
    return [Removed("version", f"{name}:{number}", 0) for name, number in named]


def _marked(session: Session, before: datetime) -> Iterator[Sequence[tuple[str, int]]]:
    last = ""
    while marked := blobs.mark(session, before, last, AT_ONCE):
        yield marked
        last = marked[-1][0]


def _sweep(database: Database, store: Store, before: datetime) -> Iterator[Removed]:
    last = ""
    while True:
        with database.alone():
            with database.write() as session:
                marked = blobs.mark(session, before, last, AT_ONCE)
            for digest, _ in marked:
                store.remove(digest)
            with database.write() as session:
                blobs.forget(session, [digest for digest, _ in marked])
        yield from (Removed("blob", *blob) for blob in marked)
        if len(marked) < AT_ONCE:
            return
        last = marked[-1][0]
