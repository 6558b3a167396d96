"""The registry: versions that never change, and aliases that say which one counts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from . import aliases, feedback, history, publishing, resolving, retiring, revisions, runs, serving, tasks, versions
from .aliases import Mover
from .cached import CachedStore, cached
from .canonical import digest_of, plain
from .database import Database, connect
from .feedback import Buffer, FeedbackCount, FeedbackTotal
from .late import LateDatabase
from .named import named
from .prompts import list_prompts
from .publishing import Draft
from .records import AliasEvent, Move, Parent, Prompt, Run, ServingState, TaskRecord, Version
from .references import PRODUCTION, ByAlias, check_name, parse
from .retiring import Retirement, Retiring
from .review.reviews import Reviews
from .signing.records import Signer
from .signing.signatures import Signatures
from .store import Store, open_store
from .tagging.search import Search, find
from .tagging.tags import Tags
from .webhooks.webhooks import Webhooks


class Registry:
    """Prompts, tasks and runs in one database, and blobs in one store. Safe to share between threads."""

    def __init__(self, database: Database | LateDatabase, store: Store, signer: Signer | None = None) -> None:
        self._database = database
        self._store = store
        self.reviews = Reviews(database)
        self._signer = signer
        self.signatures = Signatures(database)
        self.tags = Tags(database)
        self.webhooks = Webhooks(database)

    @classmethod
    def open(
        cls,
        database_url: str,
        store_url: str,
        *,
        cache: Path | None = None,
        late: bool = False,
        signer: Signer | None = None,
    ) -> Self:
        """Open both; a SQLite database is made or upgraded on the way, a PostgreSQL database never is.

        `cache` is a folder for the blobs that are fetched. A `late` database is opened when it is first asked, and has
        to be there then. With a `signer` a version is signed in the moment in which it is published.
        """
        store = open_store(store_url)
        store = cached(store, cache) if cache else store
        if late:
            return cls(LateDatabase(database_url), store, signer)
        revisions.make_ready(database_url)
        return cls(Database(connect(database_url)), store, signer)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def publish(
        self,
        name: str,
        blob: bytes,
        card: Mapping[str, object],
        *,
        idempotency_key: str,
        actor: str,
        run_id: str | None = None,
        attempt: int | None = None,
        parents: Sequence[Parent] = (),
        message: str = "",
        after: int | None = None,
    ) -> Version:
        """The next version of a prompt. The same key for the same prompt always gives the same version.

        Raises:
            Conflict: the newest version is no longer number `after` (0: none), or the run has a newer attempt.
            RegistryError: the signer's key is revoked or unknown.
        """
        self.check_signer()
        draft = Draft(
            name=check_name(name, "prompt"),
            digest=digest_of(blob),
            size=len(blob),
            card=plain(card, "card"),
            idempotency_key=idempotency_key,
            actor=actor,
            run_id=run_id,
            attempt=attempt,
            parents=parents,
            message=message,
            after=after,
        )
        return publishing.publish(self._database, self._store, draft, blob, self._signer)

    def check_signer(self) -> None:
        """Refuse to begin what could not be signed in the end; without a signer, nothing is signed."""
        if self._signer is not None:
            self.signatures.check_signer(self._signer)

    def resolve(self, reference: str) -> Version:
        """The version a reference names, READY or ARCHIVED; an alias names only what is READY."""
        if isinstance(asked := parse(reference), ByAlias):
            with self._database.ask() as connection:
                if (version := named(connection, asked.prompt, asked.alias)) is not None:
                    return version
        with self._database.read() as session:
            return resolving.resolve(session, reference)

    def fetch(self, version: Version) -> bytes:
        """The blob of a version, hashed again."""
        return self._store.get(version.digest)

    def fetch_digest(self, digest: str) -> bytes:
        """The blob of a digest, hashed again."""
        return self._store.get(digest)

    def keep(self, digests: Collection[str]) -> bool:
        """Have the cache hold the blobs of these digests; whether it holds all of them."""
        return isinstance(self._store, CachedStore) and self._store.keep(digests)

    def keep_only(self, digests: Collection[str]) -> None:
        """Have the cache hold the blobs of no others."""
        if isinstance(self._store, CachedStore):
            self._store.keep_only(digests)

    def prompts(self) -> list[Prompt]:
        """Every prompt, by name."""
        with self._database.read() as session:
            return list_prompts(session)

    def find(self, search: Search) -> list[Prompt]:
        """The prompts that fit, by name."""
        with self._database.read() as session:
            return find(session, search)

    def versions(self, name: str, *, retired: bool = False, limit: int | None = None) -> list[Version]:
        """The newest versions of a prompt, newest first, those still PENDING too.

        Those that were archived, deleted or given up only when asked for.
        """
        with self._database.read() as session:
            return versions.list_versions(session, name, retired=retired, limit=limit)

    def retire(
        self, references: Sequence[str], action: Retirement, *, actor: str, reason: str = "", dry_run: bool = False
    ) -> list[Version]:
        """Archive, restore or delete versions, all or none; a version that is so already stays so.

        Raises:
            Conflict: an alias names one of them.
        """
        with self._database.write() as session:
            there = retiring.retire(session, references, Retiring(action, actor, reason))
            if dry_run:
                session.rollback()
        return there

    def versions_of(self, run_id: str) -> list[Version]:
        """The READY versions that a run published, by prompt."""
        with self._database.read() as session:
            return versions.of_run(session, run_id)

    def aliases(self, name: str | None = None) -> list[AliasEvent]:
        """The event that made each alias of a prompt, or of all, what it is."""
        with self._database.read() as session:
            return history.standing(session, name)

    def promote(
        self, moves: Sequence[Move], *, actor: str, reason: str = "", dry_run: bool = False
    ) -> list[AliasEvent]:
        """Make all moves in one transaction, or none; one event for each move, in their order.

        Where an alias is so already, nothing happens and its current event comes back.
        A dry run returns the events that would be written and writes nothing.
        """
        with self._database.write() as session:
            events = aliases.promote(session, moves, Mover(actor, reason))
            if dry_run:
                session.rollback()
        return events

    def rollback(
        self, name: str, alias: str = PRODUCTION, *, actor: str, reason: str = "", dry_run: bool = False
    ) -> AliasEvent:
        """End an alias's split; where it has none, point it back at the version before: twice toggles."""
        with self._database.write() as session:
            event = aliases.rollback(session, name, alias, Mover(actor, reason, "rollback"))
            if dry_run:
                session.rollback()
        return event

    def history(self, name: str, alias: str | None = None) -> list[AliasEvent]:
        """The events of a prompt, or of one of its aliases, newest first."""
        with self._database.read() as session:
            return history.list_events(session, name, alias)

    def verify_history(self) -> int:
        """Check every event against its hash and the one before; returns how many there are."""
        with self._database.read() as session:
            return history.verify(session)

    def epoch(self) -> int:
        """How many times aliases have changed."""
        with self._database.read() as session:
            return serving.epoch(session)

    def head(self) -> str:
        """The hash of the last event: another one whenever an alias has changed, in a database brought back too."""
        with self._database.read() as session:
            return serving.head(session)

    def serving_state(self, since: str | None = None) -> ServingState:
        """Every alias with the version it names, all of one moment.

        Of the aliases that have changed `since` a head, if the history has that: else it is another history.
        """
        with self._database.read() as session:
            return serving.serving_state(session, since)

    def put_task(self, name: str, spec: Mapping[str, object], *, actor: str, replace: bool = False) -> TaskRecord:
        """Keep a task's spec; to change one, say `replace`."""
        name, spec = check_name(name, "task"), plain(spec, "task spec")
        with self._database.write() as session:
            return tasks.put(session, name, spec, actor, replace)

    def task(self, name: str) -> TaskRecord:
        """The task of that name."""
        with self._database.read() as session:
            return tasks.get(session, name)

    def tasks(self) -> list[TaskRecord]:
        """Every task, by name."""
        with self._database.read() as session:
            return tasks.list_tasks(session)

    def start_run(self, run_id: str, config: Mapping[str, object], *, actor: str) -> Run:
        """A new run at attempt 1; RunExists if there is one of that id."""
        config = plain(config, "run configuration")
        with self._database.write() as session:
            return runs.start(session, run_id, config, actor)

    def resume_run(self, run_id: str) -> Run:
        """The run at its next attempt; the attempts before it can no longer publish or finish."""
        with self._database.write() as session:
            return runs.resume(session, run_id)

    def finish_run(
        self,
        run_id: str,
        *,
        attempt: int,
        status: Literal["SUCCEEDED", "FAILED", "INTERRUPTED"],
        error_code: str = "",
        mlflow_run_id: str = "",
    ) -> Run:
        """Record how the current attempt ended."""
        with self._database.write() as session:
            return runs.finish(session, run_id, attempt, status, error_code=error_code, mlflow_run_id=mlflow_run_id)

    def run(self, run_id: str) -> Run:
        """The run of that id."""
        with self._database.read() as session:
            return runs.get(session, run_id)

    def runs(self) -> list[Run]:
        """Every run, newest first."""
        with self._database.read() as session:
            return runs.list_runs(session)

    def record_feedback(self, buffer: Buffer, counts: Sequence[FeedbackCount], *, actor: str) -> None:
        """Add counts of feedback; a count of a sequence that is recorded already changes nothing."""
        with self._database.write() as session:
            feedback.record(session, buffer, counts, actor)

    def lose_feedback(self, buffer: Buffer, silent_since: datetime, *, actor: str) -> int:
        """Count as lost what former processes accepted and never settled; returns how many."""
        with self._database.write() as session:
            return feedback.lose(session, buffer, silent_since, actor)

    def feedback(self, name: str | None = None) -> list[FeedbackTotal]:
        """What became of the feedback, by prompt and version."""
        with self._database.read() as session:
            return feedback.totals(session, name)
