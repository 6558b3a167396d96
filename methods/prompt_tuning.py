"""Prompt tuning: Lester, Al-Rfou and Constant (2021), "The Power of Scale for Parameter-Efficient Prompt Tuning".

One matrix of input embeddings per task. The paper puts it before the text of a T5; on an encoder we put it after
[CLS], because a head that pools the first token must find the real one. A task whose template has slots `{prompt}`
gets it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from .beginnings.geometry import SoftGeometry
from .beginnings.initializers import Init, Initializer
from .beginnings.placement import placed
from .beginnings.reparameterization import Free
from .beginnings.separate import SeparatePrompts, Trained
from .hyperparameters import Length, Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone
from .types import Placement


@dataclass(frozen=True)
class PromptTuning:
    """A separate soft prompt per task."""

    name: ClassVar[str] = "prompt-tuning"
    length: Length = 16
    placement: Placement = "after-first"
    init: Init = "vocabulary"
    init_text: str = ""
    learning_rate: Rate = 3e-2
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """K soft prompts, each from its own words, or all from `start`."""
        initializer = Initializer(self.length, self.init, self.init_text)

        def prompt(task: Task) -> list[Trained]:
            place = placed(backbone, task, self.placement, self.length)
            geometries = [SoftGeometry(backbone.embedding_size, place)]
            begun = initializer.begin(backbone, geometries, [task], generator, start and start.form)
            return [(geometry, Free(rows)) for geometry, rows in begun]

        return SeparatePrompts([prompt(task) for task in tasks])
