"""Publishing in two short transactions around the upload: a PENDING number, then READY once the blob is safe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .database import Database, locked
from .errors import Conflict, Invalid, NotFound
from .keeping import blobs
from .keeping.blobs import Collected
from .late import LateDatabase
from .models import ParentRow, PromptRow, VersionRow
from .records import Parent, State, Version
from .runs import fence
from .signing.records import Signer
from .signing.signatures import sign
from .store import Store
from .versions import VERSIONS, to_record, to_records
from .webhooks import outbox


@dataclass(frozen=True)
class Draft:
    """A version before it has a number."""

    name: str
    digest: str
    size: int
    card: Mapping[str, Any]
    idempotency_key: str
    actor: str
    run_id: str | None
    attempt: int | None
    parents: Sequence[Parent]
    message: str
    after: int | None = None  # the newest number that the prompt may have, 0 for none; without one, any


def publish(
    database: Database | LateDatabase, store: Store, draft: Draft, blob: bytes, signer: Signer | None = None
) -> Version:
    """The version of this draft, with its blob in the store; begun again where garbage was collected in between."""
    while True:
        try:
            with database.write(lasting=False) as session:  # nobody is told the number before it is READY
                version = reserve(session, draft)
            if version.state != "PENDING":
                return version
            store.put(draft.digest, blob)
            store.verify(draft.digest)
            with database.write() as session:
                return finish(session, version, draft, signer)
        except Collected:
            with database.alone(), database.write() as session:
                blobs.revive(session, draft.digest)


def reserve(session: Session, draft: Draft) -> Version:
    """The version of this draft: PENDING with a fresh number, or what its idempotency key made before."""
    fence(session, draft.run_id, draft.attempt)
    prompt = _locked_prompt(session, draft)
    version = session.scalar(
        select(VersionRow).where(VersionRow.prompt_id == prompt.id, VersionRow.idempotency_key == draft.idempotency_key)
    )
    if version is None:
        _check_newest(session, draft, prompt)
        version = _pending(draft, prompt)
        prompt.next_number += 1
        session.add(version)
        session.flush()
        _add_parents(session, version, draft.parents)
        if not draft.parents:
            blobs.touch(session, draft.digest, draft.size)
            return to_record(version, prompt.name, ())
    elif version.digest != draft.digest:
        raise Conflict(
            f"idempotency key {draft.idempotency_key!r} already stands for {prompt.name}:{version.number} with "
            f"{version.digest}, not {draft.digest}",
            hint="publish different bytes under a different key",
        )
    elif version.state == "DELETED":
        raise Conflict(
            f"idempotency key {draft.idempotency_key!r} stood for {prompt.name}:{version.number}, which was deleted",
            hint="publish under another key",
        )
    if version.state == "FAILED":  # given up, and taken up again
        version.state = "PENDING"
        session.flush()
    if version.state == "PENDING":
        blobs.touch(session, draft.digest, draft.size)
    return _record(session, version.id)


def finish(session: Session, version: Version, draft: Draft, signer: Signer | None = None) -> Version:
    """Make a PENDING version READY, and signed; its blob is in the store and was read back."""
    fence(session, draft.run_id, draft.attempt)
    _check_newest(session, draft, _locked_prompt(session, draft))
    row = session.get_one(VersionRow, version.id, with_for_update={"key_share": True})
    if row.state == "FAILED":
        raise Collected(version.reference)
    fresh = row.state == "PENDING"  # else somebody with the same key was faster
    if fresh:
        blobs.hold(session, draft.digest)
        row.state = "READY"
        session.flush()
    ready = replace(version, state=cast(State, row.state))
    if fresh:
        outbox.published(session, ready)
    if signer is not None:
        sign(session, ready, signer, draft.actor)
    return ready


def _check_newest(session: Session, draft: Draft, prompt: PromptRow) -> None:
    """Refuse a draft that goes on from what is no longer the newest: the prompt is locked, so it stays so."""
    if draft.after is None:
        return
    ready = select(func.max(VersionRow.number)).where(VersionRow.prompt_id == prompt.id, VersionRow.state == "READY")
    newest = session.scalar(ready) or 0
    if newest != draft.after:
        if newest < draft.after:
            raise Conflict(
                f"{prompt.name}:{draft.after}, which this version was begun from, was taken away; it is not published",
                hint="give the command again",
            )
        began = f"from {prompt.name}:{draft.after}" if draft.after else "as the first"
        raise Conflict(
            f"{prompt.name}:{newest} was published since this version was begun {began}; it is not published",
            hint=f"give the command again, to go on from {prompt.name}:{newest}",
        )


def _locked_prompt(session: Session, draft: Draft) -> PromptRow:
    return locked(
        session,
        select(PromptRow).where(PromptRow.name == draft.name),
        lambda: PromptRow(name=draft.name, next_number=1, created_by=draft.actor, created_at=datetime.now(UTC)),
    )


def _pending(draft: Draft, prompt: PromptRow) -> VersionRow:
    return VersionRow(
        prompt_id=prompt.id,
        number=prompt.next_number,
        state="PENDING",
        digest=draft.digest,
        size=draft.size,
        card=dict(draft.card),
        idempotency_key=draft.idempotency_key,
        run_id=draft.run_id,
        created_by=draft.actor,
        created_at=datetime.now(UTC),
        message=draft.message,
    )


def _add_parents(session: Session, version: VersionRow, parents: Sequence[Parent]) -> None:
    for parent in parents:
        row = session.get(VersionRow, parent.version_id)
        if row is None:
            raise NotFound(f"no version has id {parent.version_id}, named as {parent.role} parent")
        if row.state != "READY":
            raise Invalid(
                f"version {parent.version_id} cannot be a parent: it is not ready",
                hint="publish the parent first",
            )
        session.add(ParentRow(version_id=version.id, parent_id=row.id, role=parent.role))
    session.flush()


def _record(session: Session, version_id: int) -> Version:
    return to_records(session, session.execute(VERSIONS.where(VersionRow.id == version_id)).all())[0]
