"""What an export says, line by line: JSON that is checked when it comes in."""

from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import Invalid
from ..records import Action, RunStatus, State
from ..retiring import Retirement
from .tarball import Span

LINE_BYTES = 64 << 20

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HeadLine(_Line):
    """The first line: whether this is a whole registry, and then where its history ends."""

    kind: Literal["registry"] = "registry"
    format: Literal[1] = 1
    whole: bool
    epoch: Count
    head: str


class TaskLine(_Line):
    """A task."""

    kind: Literal["task"] = "task"
    name: str
    spec: dict[str, Any]
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class RunLine(_Line):
    """A run."""

    kind: Literal["run"] = "run"
    id: str
    status: RunStatus
    attempt: Number
    config: dict[str, Any]
    error_code: str
    mlflow_run_id: str
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class PromptLine(_Line):
    """A prompt."""

    kind: Literal["prompt"] = "prompt"
    id: Number
    name: str
    next_number: Number
    created_by: str
    created_at: AwareDatetime


class ParentLine(_Line):
    """What a version was made from."""

    name: str
    number: Number
    role: str


class VersionLine(_Line):
    """A version, after those that it was made from."""

    kind: Literal["version"] = "version"
    id: Number
    name: str
    number: Number
    state: State
    digest: Digest
    size: Count
    card: dict[str, Any]
    idempotency_key: str
    run_id: str | None
    created_by: str
    created_at: AwareDatetime
    message: str
    parents: tuple[ParentLine, ...]


class StepLine(_Line):
    """A version was archived, restored or deleted."""

    kind: Literal["step"] = "step"
    id: Number
    name: str
    number: Number
    action: Retirement
    actor: str
    reason: str
    at: AwareDatetime
    previous: Hash | Literal[""]
    hash: Hash


class EventLine(_Line):
    """An alias moved."""

    kind: Literal["event"] = "event"
    id: Number
    name: str
    alias: str
    generation: Number
    old: Number | None
    new: Number
    action: Action
    actor: str
    reason: str
    at: AwareDatetime
    previous: Hash | Literal[""]
    hash: Hash
    candidate: Number | None
    percent: Annotated[int, Field(ge=0, le=99)] | None
    report: Hash | None
    forced: bool


class ReportLine(_Line):
    """What gates found of a version."""

    kind: Literal["report"] = "report"
    name: str
    number: Number
    alias: str
    policy: str
    baseline: Number | None
    passed: bool
    details: dict[str, Any]
    actor: str
    at: AwareDatetime
    hash: Hash


class ApprovalLine(_Line):
    """A yes to a version."""

    kind: Literal["approval"] = "approval"
    name: str
    number: Number
    alias: str
    approver: str
    reason: str
    at: AwareDatetime


Line = HeadLine | TaskLine | RunLine | PromptLine | VersionLine | StepLine | EventLine | ReportLine | ApprovalLine
_ANY: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def write(file: IO[bytes], line: Line) -> None:
    """Add a line."""
    file.write(line.model_dump_json().encode() + b"\n")


def read(file: IO[bytes], span: Span) -> Iterator[Line]:
    """The lines of a span; the first that is none is named by its place, and never quoted."""
    file.seek(span.start)
    left, place = span.size, 0
    while left:
        place += 1
        text = file.readline(min(left, LINE_BYTES))
        left -= len(text)
        try:
            yield _ANY.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Invalid(
                f"line {place} of the file is none of a registry: {where}: {first['msg']}",
                hint="make it with promptctl registry export",
            ) from None
