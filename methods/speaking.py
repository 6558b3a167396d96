"""Speeches: what items that generate say, token by token, many at once and each for as long as it takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .artifact import Artifact
from .heads import GenerationHead, ReasoningHead
from .rows.collation import collate
from .rows.encoding import Example
from .runtime.backbone import Backbone
from .runtime.bank import Bank
from .runtime.going import Going
from .runtime.reading import prompted
from .words.reasoning import asked_again


@dataclass(eq=False)
class Speech:
    """What is said to one example, greedily; thoughts, where an answer follows them."""

    artifact: Artifact
    example: Example
    head: GenerationHead
    answers: bool = True  # whether what it says is the answer
    said: list[int] = field(default_factory=list)  # tokens, without the one that ends them
    over: bool = False  # whether it says no more

    @classmethod
    def begun(cls, artifact: Artifact, example: Example) -> "Speech":
        """The first one of an item whose head generates."""
        head = artifact.head
        if not isinstance(head, GenerationHead):
            raise TypeError(f"{artifact.card.name!r} generates no text")
        return cls(artifact, example, head, answers=not isinstance(head, ReasoningHead))

    @property
    def limit(self) -> int:
        """The most tokens that it has."""
        return self.head.answer_limit if isinstance(self.head, ReasoningHead) and self.answers else self.head.limit

    def hear(self, token: int, end: int) -> None:
        """The next token; `end` is the one that ends a speech."""
        if token != end:
            self.said.append(token)
        self.over = token == end or len(self.said) >= self.limit

    def answer(self, backbone: Backbone) -> "Speech":
        """The speech behind these thoughts (Kojima et al., 2022, section 3.1)."""
        assert isinstance(self.head, ReasoningHead)
        return Speech(self.artifact, asked_again(backbone, self.head, self.example, self.said), self.head)


class Speakers:
    """Speeches that go on together: begun together, or joined later."""

    def __init__(self, backbone: Backbone, speeches: Sequence[Speech]) -> None:
        self._end: int = backbone.tokenizer.eos_token_id
        self.speeches = list(speeches)
        with torch.inference_mode():
            batch = collate(backbone, [one.example for one in speeches])
            artifacts = list({id(one.artifact): one.artifact for one in speeches}.values())
            owner = [next(k for k, own in enumerate(artifacts) if own is one.artifact) for one in speeches]
            bank = Bank.of([artifact.form for artifact in artifacts])
            prompts = prompted(backbone, batch, bank, torch.tensor(owner, device=backbone.device))
            self._going = Going(backbone, batch, prompts)
        self._hear()

    @torch.inference_mode()
    def step(self) -> None:
        """Let go of speeches that are over, and say one more token of each other one."""
        staying = [place for place, one in enumerate(self.speeches) if not one.over]
        if len(staying) < len(self.speeches):
            self.speeches = [self.speeches[place] for place in staying]
            self._going.keep(staying)
        if staying:
            self._going.step()
            self._hear()

    @torch.inference_mode()
    def join(self, others: "Speakers") -> bool:
        """Go on together from now on; false where these rows cannot."""
        if not self._going.joins(others._going):
            return False
        self._going.join(others._going)
        self.speeches += others.speeches
        return True

    def _hear(self) -> None:
        for speech, token in zip(self.speeches, self._going.said.tolist(), strict=True):
            speech.hear(token, self._end)
