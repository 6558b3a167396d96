"""What was told, in the shapes of OpenAI's answers and of the events of its streams."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from registry import Version

from .naming import named
from .openai_answers import (
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChunkChoice,
    Completion,
    CompletionChoice,
    Delta,
    Spoken,
    Usage,
)
from .speaking import Told, total


@dataclass(frozen=True)
class Shapes:
    """One answer's shapes; they share its id, its time, and the model as it was asked for."""

    model: str
    version: Version
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, told: Sequence[Told], usage: Usage | None = None) -> Completion:
        """Whole answers or pieces of them."""
        return Completion(
            id=f"cmpl-{self.id}",
            created=self.created,
            model=self.model,
            system_fingerprint=named(told[0].version if told else self.version),
            choices=[CompletionChoice(index=one.index, text=one.text, finish_reason=one.finish) for one in told],
            usage=usage,
        )

    def chat(self, told: Told) -> ChatCompletion:
        """The whole answer to a conversation."""
        return ChatCompletion(
            id=f"chatcmpl-{self.id}",
            created=self.created,
            model=self.model,
            system_fingerprint=named(self.version),
            choices=[ChatChoice(message=Spoken(content=told.text), finish_reason=told.finish or "stop")],
            usage=told.usage or total([]),
        )

    def chunk(self, told: Sequence[Told], usage: Usage | None = None) -> ChatChunk:
        """A piece of the answer to a conversation."""
        choices = [ChunkChoice(delta=Delta(content=one.text), finish_reason=one.finish) for one in told]
        return self._chunk(choices, usage)

    def opening(self) -> ChatChunk:
        """The event that says who speaks."""
        return self._chunk([ChunkChoice(delta=Delta(role="assistant", content=""))], None)

    def _chunk(self, choices: list[ChunkChoice], usage: Usage | None) -> ChatChunk:
        return ChatChunk(
            id=f"chatcmpl-{self.id}",
            created=self.created,
            model=self.model,
            system_fingerprint=named(self.version),
            choices=choices,
            usage=usage,
        )
