"""P-tuning v2: Liu et al. (2022), "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across
Scales and Tasks".

Keys and values in any set of layers (section 3.2; section 4.4 compares sets), on encoders as well, and without an MLP
unless asked for. They start from N(0, 0.02): the authors leave theirs to transformers, which gives so to weights that a
checkpoint lacks. With `share` the tasks of a run share one prompt, the paper's multi-task learning (section 3.3): it is
published as the shared prompt, from which each task can then be trained by itself. Their text begins at position P,
ours at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from .beginnings.geometry import PrefixGeometry
from .beginnings.initializers import Init, Initializer
from .beginnings.reparameterization import RATES, Reparameterization, trainable
from .beginnings.separate import SeparatePrompts, Trained
from .forms import Form
from .hyperparameters import Length, Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone


@dataclass(frozen=True)
class PTuningV2:
    """A prefix per task, or one for all tasks, in any layers."""

    name: ClassVar[str] = "p-tuning-v2"
    length: Length = 16
    layers: int | str = "all"
    share: bool = False
    reparameterization: Reparameterization = "none"
    init: Init = "random"
    init_text: str = ""
    learning_rate: Rate = None  # pyright: ignore[reportAssignmentType] - 3e-2, or 1e-3 through an MLP, if not given
    head_learning_rate: Rate = 1e-2

    def __post_init__(self) -> None:
        """Choose the rate that is not given."""
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", RATES[self.reparameterization])

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """K prefixes, or one that K tasks share, from noise, from words, or from `start`."""
        initializer = Initializer(self.length, self.init, self.init_text)
        geometries = [PrefixGeometry.of(backbone, backbone.place, self.layers)]

        def prompt(owners: Sequence[Task]) -> list[Trained]:
            begun = initializer.begin(backbone, geometries, owners, generator, start and start.form)
            return [
                (geometry, trainable(self.reparameterization, rows, backbone.hidden_size, generator))
                for geometry, rows in begun
            ]

        if self.share:
            return _OneForAll([prompt(tasks)], len(tasks))
        return SeparatePrompts([prompt([task]) for task in tasks])


class _OneForAll(SeparatePrompts):
    def __init__(self, prompts: Sequence[Sequence[Trained]], tasks: int) -> None:
        super().__init__(prompts)
        self._tasks = tasks

    def forms(self) -> Sequence[Form]:
        return [self.shared()] * self._tasks

    def shared(self) -> Form:
        return super().forms()[0]

    def parameters_per_task(self) -> int:
        return 0
