"""What goes out over OpenAI's protocols; `system_fingerprint` names the version and its digest."""

from typing import Annotated, Literal

from pydantic import Field

from ..schemas import Message

LeftOut = Field(exclude_if=lambda value: value is None)  # rather than null


class Model(Message):
    """A prompt that can be asked; `id` is the reference to ask it by."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "promptctl"


class Models(Message):
    """Every alias of every prompt."""

    object: Literal["list"] = "list"
    data: list[Model]


class Usage(Message):
    """Tokens that the backbone read, without the prompt's own virtual ones, and tokens that it said."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class EmbeddingUsage(Message):
    """Tokens that the backbone read."""

    prompt_tokens: int
    total_tokens: int


class CompletionChoice(Message):
    """One answer; in a stream, one piece of it."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    logprobs: None = None


class Completion(Message):
    """Answers to texts; in a stream, a piece of one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Annotated[Usage | None, LeftOut] = None


class Spoken(Message):
    """What the model says in a conversation."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Message):
    """The one answer to a conversation."""

    index: int = 0
    message: Spoken
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatCompletion(Message):
    """The answer to a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(Message):
    """A piece of an answer; the first says whose it is."""

    role: Annotated[Literal["assistant"] | None, LeftOut] = None
    content: Annotated[str | None, LeftOut] = None


class ChunkChoice(Message):
    """The next piece of the one answer."""

    index: int = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: None = None


class ChatChunk(Message):
    """One event of a stream; the one that counts the tokens has no choice."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Annotated[Usage | None, LeftOut] = None


class Embedding(Message):
    """A vector: numbers, or the base64 of their 32-bit little-endian bytes."""

    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[float] | str


class Embeddings(Message):
    """A vector for each text."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


class Fault(Message):
    """What went wrong and what to do next."""

    message: str
    type: str
    param: str | None
    code: str


class FaultResponse(Message):
    """The body of every answer that is not a success."""

    error: Fault
