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


class Message(BaseModel):
    """What every message of every protocol has in common: no error quotes a value."""

    model_config = ConfigDict(hide_input_in_errors=True, frozen=True)


def example(value: dict[str, Any]) -> ConfigDict:
    """Have `/openapi.json` show a message like this one."""
    return ConfigDict(json_schema_extra={"examples": [value]})


def field_names() -> set[str]:
    """The names of all fields of all messages, which an error may say."""
    kinds, found = [Message], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found |= kind.model_fields.keys()
    return found | {"name", "number", "model"}  # of paths


class Wire(Message):
    """What our own messages have in common: no unknown field."""

    model_config = ConfigDict(extra="forbid")


class Input(Wire):
    """One row and the prompt to answer it with; which fields it needs depends on the prompt's task."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    text: Text | None = None
    text_pair: Text | None = None
    question: Text | None = None
    context: Text | None = None
    tokens: tuple[Text, ...] | None = Field(default=None, min_length=1, max_length=MOST_WORDS)
    choices: tuple[Text, ...] | None = Field(default=None, min_length=2, max_length=MOST_CHOICES)
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None  # rows of one key: one arm

    @field_validator("choices")
    @classmethod
    def _each_choice_once(cls, choices: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if choices is not None and len(set(choices)) < len(choices):
            raise ValueError("each choice once")
        return choices


class PredictRequest(Wire):
    """Rows of any tasks and versions. One input object alone is a request of one row."""

    model_config = example({"inputs": [{"prompt": "sentiment", "text": "a good film"}]})

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
    arm: Literal["stable", "candidate"] | None = None  # where its alias has a candidate for some of the rows
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

    model_config = example(
        {
            "outputs": [
                {
                    "prompt": "sentiment",
                    "version": "sentiment:3",
                    "digest": "sha256:9f2c",
                    "epoch": 12,
                    "label": "positive",
                    "scores": {"negative": 0.1, "positive": 0.9},
                }
            ]
        }
    )

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

    model_config = example({"prompt": "sentiment", "text": "a good film", "label": "positive"})

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

    model_config = example({"prompt": "sentiment", "limit": 100})

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

    model_config = example({"lease": "5f0c", "outcome": "learned"})

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
    candidate: bool = False  # whether it was to stand beside the alias's version


class SplitStatus(Wire):
    """A candidate beside the version of an alias, and its percent of the rows; a shadow has 0 and is never returned.

    Of a shadow: rows compared, the share of them that it answered alike, the mean distance of the scores from 0 to 1,
    rows on which it failed, and rows that it was spared because the server was busy.
    """

    prompt: str
    alias: str
    stable: str
    candidate: str
    percent: int
    compared: int
    agreement: float | None
    distance: float | None
    failed: int
    dropped: int


class SyncResponse(Wire):
    """The epoch of every replica, once it has looked at what the registry says."""

    epochs: list[int]


class Traffic(Wire):
    """Requests with rows to answer, of one process since it started.

    `rows_per_s` over the last 10 seconds; the quantiles of the latest 1024, in seconds from their rows' arrival.
    """

    process: str
    requests: int
    rows: int
    rejected: int
    rows_per_s: float
    p50_s: float | None
    p99_s: float | None


class Status(Wire):
    """How the server is: `stale_since` says since when it has not heard from the registry."""

    ready: bool
    epoch: int
    backbone: dict[str, str]
    stale_since: str | None
    stale_reason: str | None
    refused: list[Refused]
    splits: list[SplitStatus] = []
    waiting_tokens: int
    resident_bytes: int
    feedback: FeedbackStatus | None = None
    traffic: Traffic | None = None


class Health(Wire):
    """Whether everything promoted is loaded and warmed."""

    ready: bool


class Failure(Wire):
    """What went wrong and what to do next."""

    code: str
    message: str
    hint: str


class FailureResponse(Wire):
    """The body of every answer that is not a success."""

    error: Failure
