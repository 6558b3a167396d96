"""The control: a head on the bare backbone, no prompt. What a prompt is worth is measured against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from .forms import Form
from .hyperparameters import Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone


@dataclass(frozen=True)
class HeadOnly:
    """No prompt at all; only the heads learn."""

    name: ClassVar[str] = "head-only"
    head_learning_rate: Rate = 1e-2

    @property
    def learning_rate(self) -> float:
        """There is no prompt to use it."""
        return self.head_learning_rate

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """Nothing to train but the heads."""
        del backbone, generator, start
        return _Nothing(len(tasks))


class _Nothing(PromptModule):
    def __init__(self, tasks: int) -> None:
        super().__init__()
        self._tasks = tasks

    def forms(self) -> Sequence[Form]:
        return [None] * self._tasks
