"""Prompt tuning: Lester, Al-Rfou and Constant (2021), "The Power of Scale for Parameter-Efficient Prompt Tuning".

One matrix of input embeddings per task. The paper puts it before the text of a T5; on an encoder we put it after
[CLS], because a head that pools the first token must find the real one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .errors import InvalidSetting
from .forms import Form, SoftPrompt
from .initializers import soft_from_words
from .prompt import PromptModule, Start
from .task import Task


@dataclass(frozen=True)
class PromptTuning:
    """A separate soft prompt per task."""

    name: ClassVar[str] = "prompt-tuning"
    length: int = 16
    learning_rate: float = 3e-2
    head_learning_rate: float = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start = None
    ) -> PromptModule:
        """K soft prompts, each from its own sample of words, or all from `start`."""
        if start is None:
            return _SoftPrompts([soft_from_words(backbone, self.length, generator) for _ in tasks])
        if not isinstance(start, SoftPrompt):
            raise InvalidSetting("prompt-tuning starts from a soft prompt; the given one is a prefix")
        return _SoftPrompts([start.embeddings.clone() for _ in tasks])


class _SoftPrompts(PromptModule):
    def __init__(self, embeddings: Sequence[Tensor]) -> None:
        super().__init__()
        self.embeddings = nn.ParameterList(embeddings)

    def forms(self) -> list[Form]:
        return [SoftPrompt(embeddings) for embeddings in self.embeddings]

    def parameters_per_task(self) -> int:
        return self.embeddings[0].numel()
