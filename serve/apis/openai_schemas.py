"""What comes in over OpenAI's completions, chat and embeddings. As there, an unknown field is refused.

Decoding is greedy: the most likely token, always. So `temperature` may be 0, or 1 as it is by default; any `top_p` and
`seed` give the same answer; what says who asks is taken and kept nowhere. What would change the answer and is not
offered is refused.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from ..schemas import MOST_INPUTS, Message, Text, example
from .only import Empty, Greedy, No, Nothing, One, Only, Zero

MOST_MESSAGES = 256
Reference: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Short: TypeAlias = Annotated[str, StringConstraints(max_length=512)]
Stop: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Count: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=2**31)]


class Asked(Message):
    """What all requests have in common."""

    model_config = ConfigDict(extra="forbid")

    model: Reference
    user: Annotated[str, StringConstraints(max_length=200)] | None = None


class StreamOptions(Message):
    """Whether a last piece counts the tokens; pieces are never padded to hide their length."""

    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool | None = None
    include_obfuscation: No = None


class Speaking(Asked):
    """What both kinds of completion have in common."""

    max_tokens: Count | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    temperature: Greedy = None
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    seed: Annotated[int, Field(strict=True)] | None = None
    n: One = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    logit_bias: Empty = None

    @property
    def counted(self) -> bool:
        """Whether a stream ends with the tokens that it took."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts before which an answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def limit(self) -> int | None:
        """The most tokens of an answer, where the request says."""
        return self.max_tokens


class CompletionRequest(Speaking):
    """Texts to go on from, each a row of the prompt's task."""

    model_config = example({"model": "story", "prompt": "the old bridge"})

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    best_of: One = None
    echo: No = None
    logprobs: Nothing = None
    suffix: Nothing = None

    @property
    def texts(self) -> list[str]:
        """One for each answer."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class Part(Message):
    """A part of a message's content."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Text


class ChatMessage(Message):
    """One message."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[Part], Field(min_length=1, max_length=MOST_MESSAGES)]
    name: Short | None = None
    refusal: Nothing = None
    audio: Nothing = None
    tool_calls: Nothing = None
    function_call: Nothing = None
    annotations: Annotated[Any, Only(([],))] = None

    @property
    def text(self) -> str:
        """What it says."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Speaking):
    """A conversation; its messages, an empty line between two, are one row of the prompt's task."""

    model_config = example(
        {"model": "story", "messages": [{"role": "user", "content": "the old bridge"}], "stream": True}
    )

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: Count | None = None
    metadata: Annotated[dict[str, Short], Field(max_length=16)] | None = None
    safety_identifier: Short | None = None
    prompt_cache_key: Short | None = None
    store: No = None
    logprobs: No = None
    top_logprobs: Zero = None
    tools: Annotated[Any, Only(([],))] = None
    tool_choice: Annotated[Any, Only(("none", "auto"))] = None
    parallel_tool_calls: StrictBool | None = None
    functions: Annotated[Any, Only(([],))] = None
    function_call: Annotated[Any, Only(("none", "auto"))] = None
    response_format: Annotated[Any, Only(({"type": "text"},))] = None
    modalities: Annotated[Any, Only((["text"],))] = None
    service_tier: Annotated[Any, Only(("auto", "default"))] = None
    audio: Nothing = None
    prediction: Nothing = None
    moderation: Nothing = None
    reasoning_effort: Nothing = None
    verbosity: Nothing = None
    web_search_options: Nothing = None

    @property
    def limit(self) -> int | None:
        """The most tokens of an answer, where the request says."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def texts(self) -> list[str]:
        """The one row that the messages are."""
        return ["\n\n".join(message.text for message in self.messages)]


class EmbeddingsRequest(Asked):
    """Texts to embed, each a row of the prompt's task."""

    model_config = example({"model": "sentiment", "input": ["a good film"]})

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Nothing = None

    @property
    def texts(self) -> list[str]:
        """One for each vector."""
        return [self.input] if isinstance(self.input, str) else self.input
