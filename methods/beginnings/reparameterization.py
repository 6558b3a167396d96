"""What trains in the place of a prompt's rows [P, W] and is folded away: nothing more, or an MLP.

Li and Liang (2021), section 4.3; the sizes are those of the authors' code (the paper's footnote 4 takes the 512 for
the width of the smaller matrix, where the code has the backbone's hidden size).
"""

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

Reparameterization: TypeAlias = Literal["none", "mlp"]

Drawn = TypeVar("Drawn", bound=nn.Module)

MIDDLE = 512
RATES: Mapping[Reparameterization, float] = {"none": 3e-2, "mlp": 1e-3}  # AdamW moves an output by all its 512 weights


class Free(nn.Module):
    """The rows themselves."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self) -> Tensor:
        """[P, W]."""
        return self.rows


class MLP(nn.Module):
    """Embedding(P, H) -> Linear(H, 512) -> Tanh -> Linear(512, W), which begins at given rows.

    The authors fit the whole MLP to a start of real words by 500 steps of Adam. We draw it as torch draws such layers
    and solve its last layer for the rows, which it meets exactly while P <= 512.
    """

    def __init__(self, rows: Tensor, hidden_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(len(rows), hidden_size, generator=generator))
        self.inner = linear(hidden_size, MIDDLE, generator)
        self.outer = linear(MIDDLE, rows.shape[1], generator)
        solve(self.outer, self._middle(), rows)

    def forward(self) -> Tensor:
        """[P, W]."""
        return self.outer(self._middle())

    def _middle(self) -> Tensor:
        return torch.tanh(self.inner(self.embedding))


def trainable(kind: Reparameterization, rows: Tensor, hidden_size: int, generator: torch.Generator) -> nn.Module:
    """A module without inputs whose output [P, W] begins at `rows`."""
    match kind:
        case "none":
            return Free(rows)
        case "mlp":
            return MLP(rows, hidden_size, generator)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer."""
    return drawn(nn.Linear(inputs, outputs, device="meta"), inputs, generator)


def drawn(layer: Drawn, fan: int, generator: torch.Generator) -> Drawn:
    """A layer without numbers gets them as torch draws them, uniform within 1 / sqrt(fan), but from the generator."""
    layer.to_empty(device="cpu")
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1 / math.sqrt(fan), 1 / math.sqrt(fan), generator=generator)
    return layer


@torch.no_grad()
def solve(last: nn.Linear, inputs: Tensor, rows: Tensor) -> None:
    """Set a last layer so that inputs [P, M] give rows [P, W]: by least squares, with the smallest weights."""
    mean = rows.mean(0).cpu()
    found = torch.linalg.lstsq(inputs.double(), (rows.cpu() - mean).double(), driver="gelsd").solution
    last.bias.copy_(mean)
    last.weight.copy_(found.T)
