"""Adapters: Houlsby et al. (2019), "Parameter-Efficient Transfer Learning for NLP".

Section 2.1: two bottlenecks per layer, one on the output of the attention and one on that of the feed-forward, each
before the skip connection is added: x + W2 gelu(W1 x + b1) + b2, nearly the identity at first. The layer norms train
too, and are stored per task. The paper's rates are 3e-5 to 3e-3 and its weights start with a deviation of 1e-2; the
authors' code has 1e-3, which we follow. Our rate is 1e-3, for the few steps of a comparison.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InvalidSetting
from ..hyperparameters import Length, Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .adapted import Adapted, own_copy

DEVIATION = 1e-3
# The last projections of a layer's attention and feed-forward in BERT, RoBERTa and their kin, and in DistilBERT.
_OUTPUTS = re.compile(r"layer\.\d+\.((attention\.)?output\.dense|attention\.out_lin|ffn\.lin2)")


@dataclass(frozen=True)
class Adapter:
    """Two bottlenecks in every layer, for encoders built like BERT."""

    name: ClassVar[str] = "adapter"
    bottleneck: Length = 64
    learning_rate: Rate = 1e-3
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """A copy of the backbone with bottlenecks that change almost nothing yet."""
        del start
        copied = own_copy(backbone, tasks, self.name)
        outputs = [module for name, module in copied.model.named_modules() if _OUTPUTS.search(name)]
        if len(outputs) != 2 * copied.model.config.num_hidden_layers:
            kind = copied.model.config.model_type
            raise InvalidSetting(f"adapter needs an encoder built like BERT, RoBERTa or DistilBERT; this is {kind}")
        bottlenecks = [_Bottleneck(copied, self.bottleneck, generator) for _ in outputs]
        for output, bottleneck in zip(outputs, bottlenecks, strict=True):
            output.register_forward_hook(bottleneck.after)
        norms = [module for module in copied.model.modules() if isinstance(module, nn.LayerNorm)]
        return Adapted(copied, [one for module in (*bottlenecks, *norms) for one in module.parameters()])


class _Bottleneck(nn.Module):
    def __init__(self, backbone: Backbone, size: int, generator: torch.Generator) -> None:
        super().__init__()
        width, device = backbone.hidden_size, backbone.device
        self.down = nn.Parameter(_near_zero(size, width, generator).to(device))
        self.down_bias = nn.Parameter(torch.zeros(size, device=device))
        self.up = nn.Parameter(_near_zero(width, size, generator).to(device))
        self.up_bias = nn.Parameter(torch.zeros(width, device=device))

    def after(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook: what the projection gave [.., H], through the bottleneck."""
        del module, inputs
        inner = functional.gelu(functional.linear(output, self.down, self.down_bias))
        return output + functional.linear(inner, self.up, self.up_bias)


def _near_zero(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A normal, cut at two deviations as the authors' code cuts it."""
    cut = 2 * DEVIATION
    return nn.init.trunc_normal_(torch.empty(rows, columns), std=DEVIATION, a=-cut, b=cut, generator=generator)
