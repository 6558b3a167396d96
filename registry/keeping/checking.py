"""Checking the registry against its store and its history."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from .. import history, retiring
from ..database import Database
from ..errors import IntegrityError
from ..models import AliasRow, BlobRow, PromptRow, VersionRow
from ..store import Store
from . import blobs

WHOLE = ("READY", "ARCHIVED")  # versions that must have their blob


@dataclass(frozen=True)
class Health:
    """What there is, what is left over, and what is wrong, a sentence each."""

    versions: int  # READY and ARCHIVED
    blobs: int  # of these, hashed
    bytes: int
    events: int
    pending: int
    given_up: int
    unneeded: int  # blobs that no version needs any more
    unknown: int  # blobs in the store that this database does not know
    leftovers: int  # what killed writes have left
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Books:
    """What the database says, all of one moment."""

    needed: Mapping[str, tuple[int, str]]  # by digest: the size, and a version that needs the bytes
    known: Set[str]
    states: Mapping[str, int]
    unneeded: int
    events: int
    problems: Sequence[str]


def check(database: Database, store: Store) -> Health:
    """Read every blob that a version needs, and walk the history."""
    stored = set(store.digests())  # first: a blob's row is there before the blob
    with database.read() as session:
        books = _read(session)
    damage = [said for digest in sorted(books.needed) if (said := _damage(database, store, books, digest))]
    return Health(
        versions=sum(books.states.get(state, 0) for state in WHOLE),
        blobs=len(books.needed),
        bytes=sum(size for size, _ in books.needed.values()),
        events=books.events,
        pending=books.states.get("PENDING", 0),
        given_up=books.states.get("FAILED", 0),
        unneeded=books.unneeded,
        unknown=len(stored - books.known),
        leftovers=len(store.leftovers()),
        problems=(*books.problems, *damage),
    )


def _read(session: Session) -> _Books:
    needed: dict[str, tuple[int, str]] = {}
    query = select(VersionRow.digest, VersionRow.size, PromptRow.name, VersionRow.number)
    versions = query.join(PromptRow, PromptRow.id == VersionRow.prompt_id).where(VersionRow.state.in_(WHOLE))
    for digest, size, name, number in session.execute(versions):
        needed.setdefault(digest, (size, f"{name}:{number}"))
    rows = {row.digest: row.state for row in session.execute(select(BlobRow.digest, BlobRow.state))}
    problems = [
        f"{reference}: the database says that its blob {digest} is {rows.get(digest, 'gone')}"
        for digest, (_, reference) in needed.items()
        if rows.get(digest) != "LIVE"
    ]
    events = 0
    for walk in (history.verify, retiring.verify):
        try:
            events += walk(session)
        except IntegrityError as error:
            problems.append(str(error))
    states = select(VersionRow.state, func.count()).group_by(VersionRow.state)
    return _Books(
        needed=needed,
        known=rows.keys(),
        states={row[0]: row[1] for row in session.execute(states)},
        unneeded=blobs.unneeded(session),
        events=events,
        problems=[*problems, *_misled(session)],
    )


def _misled(session: Session) -> Iterator[str]:
    """Aliases that name what cannot be served."""
    numbers = or_(AliasRow.number == VersionRow.number, AliasRow.candidate == VersionRow.number)
    named = (
        select(PromptRow.name, AliasRow.name, VersionRow.number, VersionRow.state)
        .join(AliasRow, AliasRow.prompt_id == PromptRow.id)
        .join(VersionRow, and_(VersionRow.prompt_id == PromptRow.id, numbers))
        .where(VersionRow.state != "READY")
    )
    for name, alias, number, state in session.execute(named):
        yield f"{name}@{alias} names {name}:{number}, which is {state}"


def _damage(database: Database, store: Store, books: _Books, digest: str) -> str:
    """What is wrong with a blob; nothing where its versions were deleted meanwhile."""
    size, reference = books.needed[digest]
    try:
        if (found := store.verify(digest)) == size:
            return ""
        said = f"the blob stored as {digest} has {found} bytes, not {size}"
    except IntegrityError as error:
        said = str(error)
    needing = select(VersionRow.id).where(VersionRow.digest == digest, VersionRow.state.in_(WHOLE))
    with database.read() as session:
        return f"{reference}: {said}" if session.scalar(needing.limit(1)) else ""
