"""What travels over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

LONGEST_TEXT = 65_536  # characters
MOST_INPUTS = 256  # of one request
MAX_BODY = 1 << 20  # bytes of one request
MOST_WORDS = 4096  # of one row
MOST_CHOICES = 64
MOST_LEASED = 4096  # rows of one lease
LONGEST_LABEL = 200

Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class Wire(BaseModel):
    """What every message has in common: no unknown field, and no error that quotes a value."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class Input(Wire):
    """One row and the prompt to answer it with; which fields it needs depends on the prompt's task."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    text: Text | None = None
    text_pair: Text | None = None
    question: Text | None = None
    context: Text | None = None
    tokens: tuple[Text, ...] | None = Field(default=None, min_length=1, max_length=MOST_WORDS)
    choices: tuple[Text, ...] | None = Field(default=None, min_length=2, max_length=MOST_CHOICES)

    @field_validator("choices")
    @classmethod
    def _each_choice_once(cls, choices: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if choices is not None and len(set(choices)) < len(choices):
            raise ValueError("each choice once")
        return choices


class PredictRequest(Wire):
    """Rows of any tasks and versions. One input object alone is a request of one row."""

    inputs: list[Input] = Field(min_length=1, max_length=MOST_INPUTS)

    @model_validator(mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return {"inputs": [value]} if isinstance(value, dict) and "inputs" not in value else value


class Output(Wire):
    """One answer, and which version gave it.

    A label with all scores; a choice, its index and the score of each; a tag for every word and its score; a span of
    the context; or a generated text.
    """

    prompt: str
    version: str
    digest: str
    epoch: int
    label: str | None = None
    choice: str | None = None
    index: int | None = None
    tags: list[str] | None = None
    scores: dict[str, float] | list[float] | None = None
    text: str | None = None
    answer: str | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


class PredictResponse(Wire):
    """Answers in the order of the inputs."""

    outputs: list[Output]


class TaskInfo(Wire):
    """A prompt that is served, the fields its rows need and may have, and which version each alias names."""

    prompt: str
    kind: str
    labels: list[str]
    fields: list[str]
    optional: list[str]
    aliases: dict[str, str]


class TasksResponse(Wire):
    """Everything that is served."""

    tasks: list[TaskInfo]


class FeedbackRequest(Input):
    """A row, its right label, and the version that gave another: a reference or a digest, else what `prompt` names."""

    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_LABEL)]
    version: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class FeedbackResponse(Wire):
    """A correction is held in memory until then; `waiting` counts those of its prompt."""

    accepted: Literal[True] = True
    held_until: datetime
    message: str
    waiting: int


class LeaseRequest(Wire):
    """Asks for the oldest corrections of a prompt, by its bare name."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    limit: int | None = Field(default=None, ge=1, le=MOST_LEASED)
    per_label: int = Field(default=1, ge=1, le=MOST_LEASED)  # leave labels that fewer corrections name


class LeasedRow(Wire):
    """A correction on loan; its text may be kept until `held_until`."""

    text: str
    text_pair: str | None = None
    label: str
    version: str
    held_until: datetime


class LeaseResponse(Wire):
    """Corrections on loan until then; no lease where none wait."""

    lease: str | None
    until: datetime | None
    rows: list[LeasedRow]


class SettleRequest(Wire):
    """How a lease ended; of `returned` rows the texts are held on."""

    lease: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    outcome: Literal["learned", "returned", "dropped"]


class SettleResponse(Wire):
    """How many corrections the lease had."""

    rows: int


class FeedbackStatus(Wire):
    """Corrections of this server since it started.

    `lost` are those that former processes took with them, `uncounted` the steps that the registry has not heard of yet.
    """

    waiting: int
    waiting_by_prompt: dict[str, int]
    leased: int
    nbytes: int
    accepted: int
    learned: int
    dropped: int
    expired: int
    lost: int
    uncounted: int
    uncounted_reason: str | None


class Refused(Wire):
    """A version that an alias names and that failed its checks, and what answers in its place."""

    prompt: str
    alias: str
    version: str
    reason: str
    serving: str | None


class Status(Wire):
    """How the server is: `stale_since` says since when it has not heard from the registry."""

    ready: bool
    epoch: int
    backbone: dict[str, str]
    stale_since: str | None
    stale_reason: str | None
    refused: list[Refused]
    waiting_tokens: int
    resident_bytes: int
    feedback: FeedbackStatus | None = None


class Failure(Wire):
    """What went wrong and what to do next."""

    code: str
    message: str
    hint: str


class FailureResponse(Wire):
    """The body of every answer that is not a success."""

    error: Failure
