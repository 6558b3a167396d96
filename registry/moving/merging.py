"""The rows of a file among those that are here. What is here stays; what is missing is added, all or nothing.

Into an empty registry everything comes as it was, down to the ids and the hashes of the events. Among others, the
events of a prompt are chained anew, behind those that are here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..errors import Conflict
from ..models import ParentRow, PromptRow, RunRow, TaskRow, VersionRow
from ..serving import in_line
from ..versions import AT_ONCE
from .batches import batches
from .contents import Key, Said
from .lines import VersionLine
from .retelling import Ids, add_events, add_reviews, add_steps

NUMBERED = ("prompt", "prompt_version", "version_event", "alias_event")  # tables that count their ids
SAME = ("digest", "size", "card", "idempotency_key", "run_id", "created_by", "created_at", "message")


@dataclass(frozen=True)
class Merged:
    """How much was missing, and was added."""

    prompts: int
    versions: int
    events: int
    tasks: int
    runs: int


def new_versions(session: Session, said: Said) -> dict[Key, VersionLine]:
    """The versions that are not here yet.

    Raises:
        Conflict: another version has that number, or that idempotency key.
    """
    new = dict(said.versions)
    keys = {(version.name, version.idempotency_key): key for key, version in said.versions.items()}
    for names in batches([prompt.name for prompt in said.prompts]):
        here = select(VersionRow, PromptRow.name).join(PromptRow, PromptRow.id == VersionRow.prompt_id)
        for row, name in session.execute(here.where(PromptRow.name.in_(names)).execution_options(yield_per=AT_ONCE)):
            line = new.pop((name, row.number), None)
            if line is not None and any(getattr(row, field) != getattr(line, field) for field in SAME):
                raise Conflict(
                    f"{name}:{row.number} is another version here, {row.digest}, than in the file, {line.digest}",
                    hint="import the file into an empty registry",
                )
            if keys.get((name, row.idempotency_key), (name, row.number)) != (name, row.number):
                raise Conflict(f"{name}:{row.number} has here the idempotency key of another version in the file")
    return new


def merge(session: Session, said: Said) -> Merged:
    """Add what is missing; the blobs of the versions are in the store.

    Raises:
        Conflict: what is here says otherwise.
    """
    serving = in_line(session)
    fresh = session.scalar(select(PromptRow.id).limit(1)) is None
    new = new_versions(session, said)
    tasks, runs = _add_tasks(session, said), _add_runs(session, said)
    try:
        prompts = _add_prompts(session, said, fresh)
    except IntegrityError as error:
        raise Conflict("somebody published in between", hint="give the command again") from error
    ids = Ids(_prompt_ids(session, said), _add_versions(session, said, new, fresh), fresh)
    add_steps(session, said, new, ids)
    add_reviews(session, said, ids)
    events = add_events(session, said, serving, ids)
    if fresh:
        serving.epoch = max(serving.epoch, said.head.epoch)
        _count_on(session)
    elif events:
        serving.epoch += 1
    return Merged(prompts, len(new), events, tasks, runs)


def _add_tasks(session: Session, said: Said) -> int:
    here = {row.name: row for row in session.scalars(select(TaskRow))}
    for task in said.tasks:
        if task.name in here and here[task.name].spec != task.spec:
            raise Conflict(f"task {task.name!r} has another spec here", hint="import the file into an empty registry")
    return _insert(
        session, TaskRow, [task.model_dump(exclude={"kind"}) for task in said.tasks if task.name not in here]
    )


def _add_runs(session: Session, said: Said) -> int:
    here = {row.id: row for row in session.scalars(select(RunRow))}
    for run in said.runs:
        if run.id in here and (here[run.id].config, here[run.id].created_at) != (run.config, run.created_at):
            raise Conflict(f"run {run.id!r} is another one here", hint="import the file into an empty registry")
    return _insert(session, RunRow, [run.model_dump(exclude={"kind"}) for run in said.runs if run.id not in here])


def _add_prompts(session: Session, said: Said, fresh: bool) -> int:
    here: dict[str, PromptRow] = {}
    for names in batches([prompt.name for prompt in said.prompts]):
        query = select(PromptRow).where(PromptRow.name.in_(names)).order_by(PromptRow.id)
        here |= {row.name: row for row in session.scalars(query.with_for_update(key_share=True))}
    for prompt in said.prompts:
        if prompt.name in here:
            here[prompt.name].next_number = max(here[prompt.name].next_number, prompt.next_number)
    dropped = {"kind"} if fresh else {"kind", "id"}
    return _insert(
        session, PromptRow, [one.model_dump(exclude=dropped) for one in said.prompts if one.name not in here]
    )


def _prompt_ids(session: Session, said: Said) -> dict[str, int]:
    ids: dict[str, int] = {}
    for names in batches([prompt.name for prompt in said.prompts]):
        query = select(PromptRow.name, PromptRow.id).where(PromptRow.name.in_(names))
        ids |= {row[0]: row[1] for row in session.execute(query)}
    return ids


def _add_versions(session: Session, said: Said, new: Mapping[Key, VersionLine], fresh: bool) -> dict[Key, int]:
    """Each as PENDING, which alone takes parents, then step by step to its state; the ids of all versions."""
    prompts = _prompt_ids(session, said)
    dropped = {"kind", "name", "parents"} if fresh else {"kind", "name", "parents", "id"}
    pending = [
        version.model_dump(exclude=dropped) | {"prompt_id": prompts[version.name], "state": "PENDING"}
        for version in new.values()
    ]
    _insert(session, VersionRow, pending)
    ids = _version_ids(session, prompts)
    parents = [
        {"version_id": ids[key], "parent_id": ids[parent.name, parent.number], "role": parent.role}
        for key, version in new.items()
        for parent in version.parents
    ]
    _insert(session, ParentRow, parents)
    for state, on_the_way in (
        ("READY", ("READY", "ARCHIVED", "DELETED")),
        ("FAILED", ("FAILED",)),
        ("ARCHIVED", ("ARCHIVED",)),
        ("DELETED", ("DELETED",)),
    ):
        for some in batches([ids[key] for key, version in new.items() if version.state in on_the_way]):
            step = update(VersionRow).where(VersionRow.id.in_(some)).values(state=state)
            session.execute(step, execution_options={"synchronize_session": False})
    return ids


def _version_ids(session: Session, prompts: Mapping[str, int]) -> dict[Key, int]:
    names = {id: name for name, id in prompts.items()}
    ids: dict[Key, int] = {}
    for some in batches(list(names)):
        query = select(VersionRow.prompt_id, VersionRow.number, VersionRow.id).where(VersionRow.prompt_id.in_(some))
        ids |= {(names[row[0]], row[1]): row[2] for row in session.execute(query)}
    return ids


def _count_on(session: Session) -> None:
    """Have PostgreSQL give the next ids after those that came with the file."""
    if session.get_bind().dialect.name == "postgresql":
        for table in NUMBERED:
            last = f"SELECT coalesce(max(id), 1), max(id) IS NOT NULL FROM {table}"
            session.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), a, b) FROM ({last}) t(a, b)"))


def _insert(session: Session, kind: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    for some in batches(rows):
        session.execute(insert(kind.__table__), some)
    return len(rows)
