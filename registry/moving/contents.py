"""What a file says, as a whole: lines that fit each other and the blobs beside them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .. import history, retiring
from ..canonical import plain
from ..errors import IntegrityError, Invalid
from ..models import EventRow, VersionEventRow
from ..references import check_name
from .lines import (
    ApprovalLine,
    EventLine,
    HeadLine,
    Line,
    PromptLine,
    ReportLine,
    RunLine,
    StepLine,
    TaskLine,
    VersionLine,
)
from .packing import WHOLE
from .tarball import Span

Key = tuple[str, int]  # a version by its prompt's name and its number
Kind = TypeVar("Kind", bound=Line)


@dataclass(frozen=True)
class Said:
    """The lines by kind, each in its order."""

    head: HeadLine
    tasks: Sequence[TaskLine]
    runs: Sequence[RunLine]
    prompts: Sequence[PromptLine]
    versions: Mapping[Key, VersionLine]
    steps: Sequence[StepLine]
    events: Sequence[EventLine]
    reports: Sequence[ReportLine]
    approvals: Sequence[ApprovalLine]


def gather(lines: Iterable[Line], blobs: Mapping[str, Span]) -> Said:
    """Read all lines, and refuse what does not fit.

    Raises:
        Invalid: a line names what is not there.
        IntegrityError: a blob is missing, or an event was edited.
    """
    kinds: dict[type, list[Line]] = {}
    for line in lines:
        kinds.setdefault(type(line), []).append(line)
    heads = _of(kinds, HeadLine)
    if len(heads) != 1:
        raise Invalid("the file says not once what it is", hint="make it with promptctl registry export")
    versions = _of(kinds, VersionLine)
    said = Said(
        head=heads[0],
        tasks=_of(kinds, TaskLine),
        runs=_of(kinds, RunLine),
        prompts=_of(kinds, PromptLine),
        versions={(version.name, version.number): version for version in versions},
        steps=_of(kinds, StepLine),
        events=_of(kinds, EventLine),
        reports=_of(kinds, ReportLine),
        approvals=_of(kinds, ApprovalLine),
    )
    _refuse_twice("version", [f"{version.name}:{version.number}" for version in versions])
    _check_names(said)
    _check_versions(said, blobs)
    _check_steps(said)
    _check_events(said)
    _check_reviews(said)
    return said


def _of(kinds: Mapping[type, Sequence[Line]], kind: type[Kind]) -> list[Kind]:
    return [line for line in kinds.get(kind, ()) if isinstance(line, kind)]


def _check_names(said: Said) -> None:
    for what, names in (
        ("task", [check_name(task.name, "task") for task in said.tasks]),
        ("prompt", [check_name(prompt.name, "prompt") for prompt in said.prompts]),
        ("run", [run.id for run in said.runs]),
    ):
        _refuse_twice(what, names)
    for event in said.events:
        check_name(event.alias, "alias")


def _check_versions(said: Said, blobs: Mapping[str, Span]) -> None:
    last = {prompt.name: prompt.next_number - 1 for prompt in said.prompts}
    runs = {None, *(run.id for run in said.runs)}
    seen = set[Key]()
    for key, version in said.versions.items():
        reference = f"{version.name}:{version.number}"
        plain(version.card, "card")
        if version.number > last.get(version.name, 0) or version.run_id not in runs:
            raise Invalid(f"{reference} is of a prompt or a run that the file does not have")
        if not {(parent.name, parent.number) for parent in version.parents} <= seen:
            raise Invalid(f"{reference} was made from what the file does not have before it")
        if version.state in WHOLE and (version.digest not in blobs or blobs[version.digest].size != version.size):
            raise IntegrityError(f"the file has no blob {version.digest} of {version.size} bytes, for {reference}")
        if version.state not in ("PENDING", "FAILED"):
            seen.add(key)
    if extra := blobs.keys() - {version.digest for version in said.versions.values() if version.state in WHOLE}:
        raise Invalid(f"the file has blobs that no version needs, such as {min(extra)}")


def _check_steps(said: Said) -> None:
    states = {key: "READY" for key, version in said.versions.items() if version.state in ("ARCHIVED", "DELETED")}
    previous = ""
    for step in said.steps:
        key = (step.name, step.number)
        if key not in said.versions:
            raise Invalid(f"a step is of {step.name}:{step.number}, which the file does not have")
        chained = step.previous == previous or not said.head.whole
        if not chained or retiring.hash_of_event(step_row(step), f"{step.name}:{step.number}") != step.hash:
            raise IntegrityError(f"the history in the file is broken at {step.action} of {step.name}:{step.number}")
        previous = step.hash
        states[key] = retiring.BECOMES[step.action]
    for (name, number), state in states.items():
        if said.versions[name, number].state != state:
            raise IntegrityError(f"{name}:{number} in the file is not {state}, as its history says")


def _check_events(said: Said) -> None:
    previous = ""
    lines: dict[tuple[str, str], EventLine] = {}
    for event in said.events:
        line = (event.name, event.alias)
        before = lines.get(line)
        follows = (event.generation, event.old) == ((before.generation + 1, before.new) if before else (1, None))
        chained = event.previous == previous or not said.head.whole
        if not (follows and chained) or history.hash_of_event(event_row(event), event.name) != event.hash:
            raise IntegrityError(f"the history in the file is broken at {event.name}@{event.alias}, {event.generation}")
        if not {(event.name, event.new), (event.name, event.candidate or event.new)} <= said.versions.keys():
            raise Invalid(f"{event.name}@{event.alias} named what the file does not have")
        previous, lines[line] = event.hash, event
    if said.head.whole and said.head.head != previous:
        raise IntegrityError(f"the history in the file was cut off after {len(said.events)} events")
    for event in lines.values():
        for number in {event.new, event.candidate or event.new}:
            if said.versions[event.name, number].state != "READY":
                raise IntegrityError(f"{event.name}@{event.alias} in the file names {event.name}:{number}: not ready")


def _check_reviews(said: Said) -> None:
    for one in (*said.reports, *said.approvals):
        if (one.name, one.number) not in said.versions:
            raise Invalid(f"a {one.kind} is of {one.name}:{one.number}, which the file does not have")
    known = {report.hash for report in said.reports}
    if stranger := next((event for event in said.events if event.report and event.report not in known), None):
        raise IntegrityError(f"the file lacks the gate report by which {stranger.name}@{stranger.alias} moved")


def event_row(event: EventLine) -> EventRow:
    """An event as the history hashes it, of no prompt yet."""
    return EventRow(**event.model_dump(exclude={"kind", "id", "name"}))


def step_row(step: StepLine) -> VersionEventRow:
    """A step as the history hashes it, of no version yet."""
    return VersionEventRow(**step.model_dump(exclude={"kind", "id", "name", "number"}))


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise Invalid(f"the file has {what} {twice[0]!r} twice")
