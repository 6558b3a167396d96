"""BitFit: Ben Zaken, Ravfogel and Goldberg (2022), "BitFit: Simple Parameter-efficient Fine-tuning for
Transformer-based Masked Language-models".

Section 3: every bias of the model trains, and nothing else; among them those of the layer norms, as in the authors'
code, whose rate of 1e-3 is ours too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from ..errors import InvalidSetting
from ..hyperparameters import Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .adapted import Adapted, own_copy, read_part


@dataclass(frozen=True)
class BitFit:
    """The biases of the backbone."""

    name: ClassVar[str] = "bitfit"
    learning_rate: Rate = 1e-3
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """A copy of the backbone whose biases train."""
        del generator, start
        copied = own_copy(backbone, tasks, self.name)
        named = read_part(copied, tasks[0]).named_parameters()
        biases = [one for name, one in named if name.endswith(".bias")]
        if not biases:
            raise InvalidSetting(f"bitfit trains biases, and {copied.model.config.model_type} has none")
        return Adapted(copied, biases)
