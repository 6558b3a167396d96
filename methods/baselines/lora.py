"""LoRA: Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models".

Section 4.1: h = W x + (alpha / r) B A x with W frozen, A random and B zero; on the query and the value projection of
every attention (section 7.1 finds those two the best for their size). The authors' code starts A as `nn.Linear` starts
its weights; so do we. Their learning rates of 2e-4 to 5e-4 are for tens of thousands of steps; ours is 1e-3.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

from ..errors import InvalidSetting
from ..hyperparameters import Rank, Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .adapted import Adapted, own_copy, read_part

PROJECTIONS = {
    *("query", "value"),  # BERT, RoBERTa
    *("q_lin", "v_lin"),  # DistilBERT
    *("q_proj", "v_proj"),  # Llama, BART
    *("q", "v"),  # T5
}
FUSED = "c_attn"  # GPT-2: query, key and value side by side in one matrix


@dataclass(frozen=True)
class LoRA:
    """A low-rank update of every query and value projection."""

    name: ClassVar[str] = "lora"
    rank: Rank = 8
    alpha: float = 16.0
    learning_rate: Rate = 1e-3
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """A copy of the backbone with an update, zero at first, on each projection."""
        del start
        copied = own_copy(backbone, tasks, self.name)
        updates = []
        for module, first, count in list(_projections(read_part(copied, tasks[0]))):
            update = _Update(module, first, count, self.rank, self.alpha / self.rank, generator)
            parametrize.register_parametrization(module, "weight", update)
            updates += [update.a, update.b]
        if not updates:
            kind = copied.model.config.model_type
            raise InvalidSetting(f"lora finds no query and value projections in {kind} by their names")
        return Adapted(copied, updates)


class _Update(nn.Module):
    """(alpha / r) B A on the `count` outputs of a projection that begin at the `first`."""

    def __init__(
        self, module: nn.Module, first: int, count: int, rank: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        weight = cast(Tensor, module.weight)
        self._across = isinstance(module, Conv1D)  # whose weight is [in, out]
        outputs, inputs = weight.shape[::-1] if self._across else weight.shape
        a = nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=math.sqrt(5), generator=generator)
        self.a = nn.Parameter(a.to(weight.device))  # [R, in]
        self.b = nn.Parameter(torch.zeros(count, rank, device=weight.device))  # [count, R]
        self._padding = (0, 0, first, outputs - first - count)
        self._scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        update = functional.pad(self._scale * self.b @ self.a, self._padding)  # [out, in]
        return weight + (update.T if self._across else update)


def _projections(model: nn.Module) -> Iterator[tuple[nn.Module, int, int]]:
    """Every query and value projection: the module, and which of its outputs (first, count) are the projection."""
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Linear) and last in PROJECTIONS:
            yield module, 0, module.out_features
        elif isinstance(module, Conv1D) and last == FUSED:
            width = module.nf // 3
            yield module, 0, width
            yield module, 2 * width, width
