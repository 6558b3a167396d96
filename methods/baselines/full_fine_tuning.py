"""Full fine-tuning: Devlin et al. (2019), "BERT: Pre-training of Deep Bidirectional Transformers", section 4.1.

Every weight trains, at the largest of the rates that the paper tried, 5e-5. It trains with dropout; we train without,
like every other method here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..hyperparameters import Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .adapted import Adapted, own_copy, read_part


@dataclass(frozen=True)
class FullFineTuning:
    """A whole model per task."""

    name: ClassVar[str] = "full"
    learning_rate: Rate = 5e-5
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """A copy of the backbone, all of which trains."""
        del generator, start
        copied = own_copy(backbone, tasks, self.name)
        return Adapted(copied, read_part(copied, tasks[0]).parameters())
