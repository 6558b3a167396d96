"""A prompt of its own for each task."""

from collections.abc import Sequence
from typing import TypeAlias

from torch import nn

from ..forms import Form, stack
from ..prompt import PromptModule
from .geometry import Geometry

Trained: TypeAlias = tuple[Geometry, nn.Module]  # where rows stand, and what gives them [P, W]


class SeparatePrompts(PromptModule):
    """For each task, rows that train and where they stand: one part, or a stack of parts."""

    def __init__(self, prompts: Sequence[Sequence[Trained]]) -> None:
        super().__init__()
        self.rows = nn.ModuleList(nn.ModuleList(rows for _, rows in own) for own in prompts)
        self._prompts = prompts

    def forms(self) -> Sequence[Form]:
        """Each task's own."""
        return [stack(tuple(geometry.part(rows()) for geometry, rows in own)) for own in self._prompts]

    def parameters_per_task(self) -> int:
        """Those of the first task."""
        return sum(parameter.numel() for parameter in self.rows[0].parameters())
