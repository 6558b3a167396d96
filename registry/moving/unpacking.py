"""From a file into a registry: all of it is checked first, then the blobs come in, then all rows at once or none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from sqlalchemy.orm import Session

from ..database import Database
from ..errors import Conflict
from ..keeping import blobs
from ..keeping.blobs import Collected
from ..store import Store
from . import lines, tarball
from .contents import gather
from .merging import merge, new_versions
from .packing import WHOLE
from .tarball import Span


@dataclass(frozen=True)
class Unpacked:
    """What a file brought; what was here already is not counted."""

    prompts: int
    versions: int
    events: int
    tasks: int
    runs: int
    blobs: int


def unpack(database: Database, store: Store, path: Path, *, dry_run: bool) -> Unpacked:
    """Take in what a file has and the registry has not; the same file again changes nothing.

    Raises:
        Invalid: the file is no export, or holds what an export does not.
        IntegrityError: something in it is not what it says.
        Conflict: it has another version under a number that is taken here, or the like.
    """
    contents = tarball.read_contents(path)
    with path.open("rb") as file:
        said = gather(lines.read(file, contents.lines), contents.blobs)
        with database.read() as session:
            new = new_versions(session, said)
        needed = sorted({version.digest for version in new.values() if version.state in WHOLE})
        if not dry_run:
            for digest in needed:
                _bring(database, store, file, digest, contents.blobs[digest])
    with database.write() as session:
        if not dry_run:
            _hold(session, needed)
        merged = merge(session, said)
        if dry_run:
            session.rollback()
    return Unpacked(**asdict(merged), blobs=len(needed))


def _bring(database: Database, store: Store, file: IO[bytes], digest: str, span: Span) -> None:
    with database.alone(), database.write() as session:
        blobs.revive(session, digest)
        blobs.touch(session, digest, span.size)
    store.put_chunks(digest, tarball.pieces(file, span))
    store.verify(digest)


def _hold(session: Session, digests: Sequence[str]) -> None:
    for digest in digests:
        try:
            blobs.hold(session, digest)
        except Collected as error:
            raise Conflict(
                "garbage was collected while the blobs came in", hint="give the command again, without gc beside it"
            ) from error
