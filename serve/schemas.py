"""What travels over HTTP."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

LONGEST_TEXT = 65_536  # characters
MOST_INPUTS = 256  # of one request
MAX_BODY = 1 << 20  # bytes of one request

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


class PredictRequest(Wire):
    """Rows of any tasks and versions. One input object alone is a request of one row."""

    inputs: list[Input] = Field(min_length=1, max_length=MOST_INPUTS)

    @model_validator(mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return {"inputs": [value]} if isinstance(value, dict) and "inputs" not in value else value


class Output(Wire):
    """One answer, and which version gave it: a label with all scores, or a span of the context."""

    prompt: str
    version: str
    digest: str
    epoch: int
    label: str | None = None
    scores: dict[str, float] | None = None
    answer: str | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


class PredictResponse(Wire):
    """Answers in the order of the inputs."""

    outputs: list[Output]


class TaskInfo(Wire):
    """A prompt that is served, the fields its rows need, and which version each alias names."""

    prompt: str
    kind: str
    labels: list[str]
    fields: list[str]
    aliases: dict[str, str]


class TasksResponse(Wire):
    """Everything that is served."""

    tasks: list[TaskInfo]


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


class Failure(Wire):
    """What went wrong and what to do next."""

    code: str
    message: str
    hint: str


class FailureResponse(Wire):
    """The body of every answer that is not a success."""

    error: Failure
