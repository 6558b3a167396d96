"""Prefix-tuning: Li and Liang (2021), "Prefix-Tuning: Optimizing Continuous Prompts for Generation".

Free keys and values in every layer. The paper trains them through an MLP, because free vectors started from noise
were unstable; ours start from the activations of real words (its section 7.4) and need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .errors import InvalidSetting
from .forms import Form, Prefix
from .initializers import prefix_from_words
from .prompt import PromptModule, Start, as_matrix, as_prefix
from .task import Task


@dataclass(frozen=True)
class PrefixTuning:
    """A separate prefix per task, in every layer."""

    name: ClassVar[str] = "prefix-tuning"
    length: int = 16
    learning_rate: float = 3e-2
    head_learning_rate: float = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start = None
    ) -> PromptModule:
        """K prefixes, each from its own sample of words, or all from `start`."""
        shape = (backbone.layers, backbone.heads, backbone.head_dim)
        if start is None:
            return _Prefixes([prefix_from_words(backbone, self.length, generator) for _ in tasks], shape)
        if not isinstance(start, Prefix):
            raise InvalidSetting("prefix-tuning starts from a prefix; the given one is a soft prompt")
        return _Prefixes([as_matrix(start) for _ in tasks], shape)


class _Prefixes(PromptModule):
    def __init__(self, matrices: Sequence[Tensor], shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.matrices = nn.ParameterList(matrices)  # K of [P, W]
        self._shape = shape

    def forms(self) -> list[Form]:
        return [as_prefix(matrix, self._shape) for matrix in self.matrices]

    def parameters_per_task(self) -> int:
        return self.matrices[0].numel()
