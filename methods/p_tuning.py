"""P-tuning: Liu et al. (2021), "GPT Understands, Too".

Virtual tokens anywhere in a template, for instance `{prompt:3} {mask} {prompt:3} {text}`, whose embeddings an LSTM or
an MLP computes; only the embeddings are kept. The paper does not start them near words, and neither do we. It tunes the
backbone together with the prompt on SuperGLUE; ours stays frozen, as the paper's does on LAMA.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from .beginnings.geometry import SoftGeometry
from .beginnings.initializers import begun
from .beginnings.placement import placed
from .beginnings.prompt_encoder import PromptEncoder
from .beginnings.separate import SeparatePrompts, Trained
from .hyperparameters import Length, Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone
from .types import Placement


@dataclass(frozen=True)
class PTuning:
    """A separate soft prompt per task, trained through an encoder of its own.

    `placement` is for tasks whose template has no slots `{prompt}`.
    """

    name: ClassVar[str] = "p-tuning"
    length: Length = 16
    placement: Placement = "after-first"
    encoder: Literal["lstm", "mlp"] = "lstm"
    learning_rate: Rate = 5e-3
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """K soft prompts, each from a random encoder, or all from `start`."""

        def prompt(task: Task) -> list[Trained]:
            place = placed(backbone, task, self.placement, self.length)
            geometry, rows = SoftGeometry(backbone.embedding_size, place), None
            if start is not None:
                [(geometry, rows)] = begun(start.form, [(geometry, self.length)])
            recurrent = self.encoder == "lstm"
            return [(geometry, PromptEncoder(self.length, geometry.width, generator, recurrent=recurrent, rows=rows))]

        return SeparatePrompts([prompt(task) for task in tasks])
