"""From a registry into a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from .. import history, retiring
from ..columns import Base
from ..database import Database
from ..files import CHUNK
from ..files.fresh import fresh
from ..models import EventRow, ParentRow, PromptRow, RunRow, ServingRow, TaskRow, VersionRow
from ..prompts import known_prompt
from ..review.tables import ApprovalRow, ReportRow
from ..store import Store
from ..versions import AT_ONCE, VERSIONS, to_records
from . import lines, tarball
from .lines import (
    ApprovalLine,
    EventLine,
    HeadLine,
    Line,
    ParentLine,
    PromptLine,
    ReportLine,
    RunLine,
    StepLine,
    TaskLine,
    VersionLine,
)

WHOLE = ("READY", "ARCHIVED")


@dataclass(frozen=True)
class Packed:
    """What went into a file; `digest` stands for all of it."""

    prompts: int
    versions: int
    blobs: int
    size: int
    digest: str


def pack(database: Database, store: Store, path: Path, names: Sequence[str]) -> Packed:
    """Write the registry, or some prompts and those that they were made from, to a file that is not there yet."""
    with fresh(path) as beside, database.alone(), TemporaryFile() as said, beside.open("wb") as file:
        with database.read() as session:
            packed, blobs = _write_lines(session, said, names)
        return _write_tar(file, said, packed, blobs, store)


def _write_tar(file: IO[bytes], said: IO[bytes], packed: Packed, blobs: dict[str, int], store: Store) -> Packed:
    size = said.tell()
    hashed = sha256()
    for piece in _pieces(said):
        hashed.update(piece)
    digest = f"sha256:{hashed.hexdigest()}"
    tarball.write_head(file, digest, size)
    tarball.write_member(file, _name(digest), size, _pieces(said))
    for blob in sorted(blobs):
        tarball.write_member(file, _name(blob), blobs[blob], store.chunks(blob))
    tarball.write_end(file)
    return Packed(packed.prompts, packed.versions, packed.blobs, file.tell(), digest)


def _write_lines(session: Session, file: IO[bytes], names: Sequence[str]) -> tuple[Packed, dict[str, int]]:
    """All lines, and the sizes of the blobs that they need."""
    chosen = _with_parents(session, names)
    serving = session.get_one(ServingRow, 1)
    whole = not names
    lines.write(file, HeadLine(whole=whole, epoch=serving.epoch, head=serving.head if whole else ""))
    runs = set[str | None]()
    blobs = dict[str, int]()
    versions = 0
    for line in _versions(session, _among(whole, VersionRow.prompt_id, chosen)):
        lines.write(file, line)
        versions += 1
        runs.add(line.run_id)
        if line.state in WHOLE:
            blobs[line.digest] = line.size
    for line in _others(session, chosen, whole, runs):
        lines.write(file, line)
    return Packed(len(chosen), versions, len(blobs), 0, ""), blobs


def _others(session: Session, chosen: dict[int, str], whole: bool, runs: set[str | None]) -> Iterator[Line]:
    """The lines of all but the versions."""
    for task in session.scalars(select(TaskRow).order_by(TaskRow.name)):
        if whole or task.name in chosen.values():
            yield TaskLine(**_columns(task))
    for run in session.scalars(select(RunRow).order_by(RunRow.id)):
        if whole or run.id in runs:
            yield RunLine(**_columns(run))
    for prompt in session.scalars(select(PromptRow).order_by(PromptRow.id)):
        if prompt.id in chosen:
            yield PromptLine(**_columns(prompt))
    steps = retiring.EVENTS.where(_among(whole, VersionRow.prompt_id, chosen))
    for step, name, number in session.execute(steps):
        yield StepLine(name=name, number=number, **_columns(step, "version_id"))
    yield from _reviews(session, chosen, whole)
    events = history.EVENTS.where(_among(whole, EventRow.prompt_id, chosen))
    for event, name in session.execute(events.order_by(EventRow.id)):
        yield EventLine(name=name, **_columns(event, "prompt_id"))


def _reviews(session: Session, chosen: dict[int, str], whole: bool) -> Iterator[Line]:
    for kind, row in ((ReportLine, ReportRow), (ApprovalLine, ApprovalRow)):
        reviews = select(row, PromptRow.name).join(PromptRow, PromptRow.id == row.prompt_id)
        for one, name in session.execute(reviews.where(_among(whole, row.prompt_id, chosen)).order_by(row.id)):
            yield kind(name=name, **_columns(one, "id", "prompt_id"))


def _among(whole: bool, column: InstrumentedAttribute[int], chosen: dict[int, str]) -> ColumnElement[bool]:
    return true() if whole else column.in_(chosen)


def _versions(session: Session, among: ColumnElement[bool]) -> Iterator[VersionLine]:
    """In the order in which they were made: parents before their children."""
    last = 0
    while True:
        query = VERSIONS.where(VersionRow.id > last, among).order_by(VersionRow.id)
        records = to_records(session, session.execute(query.limit(AT_ONCE)).all())
        keys = _keys(session, [record.id for record in records])
        for record in records:
            parents = tuple(ParentLine(name=one.name, number=one.number, role=one.role) for one in record.parents)
            yield VersionLine(
                id=record.id,
                name=record.name,
                number=record.number,
                state=record.state,
                digest=record.digest,
                size=record.size,
                card=dict(record.card),
                idempotency_key=keys[record.id],
                run_id=record.run_id,
                created_by=record.created_by,
                created_at=record.created_at,
                message=record.message,
                parents=parents,
            )
        if len(records) < AT_ONCE:
            return
        last = records[-1].id


def _keys(session: Session, ids: Sequence[int]) -> dict[int, str]:
    query = select(VersionRow.id, VersionRow.idempotency_key).where(VersionRow.id.in_(ids))
    return {id: key for id, key in session.execute(query)}  # noqa: C416  rows are no pairs to dict's type


def _with_parents(session: Session, names: Sequence[str]) -> dict[int, str]:
    """The prompts of these names, or all, and those whose versions any of their versions was made from."""
    if not names:
        return {row.id: row.name for row in session.scalars(select(PromptRow))}
    chosen: dict[int, str] = {}
    new = {prompt.id: prompt.name for prompt in (known_prompt(session, name) for name in names)}
    while new:
        chosen |= new
        children = select(VersionRow.id).where(VersionRow.prompt_id.in_(new))
        parents = select(ParentRow.parent_id).where(ParentRow.version_id.in_(children))
        above = (
            select(PromptRow).join(VersionRow, VersionRow.prompt_id == PromptRow.id).where(VersionRow.id.in_(parents))
        )
        new = {row.id: row.name for row in session.scalars(above.distinct()) if row.id not in chosen}
    return chosen


def _columns(row: Base, *but: str) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in but}


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(CHUNK):
        yield piece


def _name(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
