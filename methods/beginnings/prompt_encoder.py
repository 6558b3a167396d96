"""The prompt encoder of P-tuning: what gives the virtual tokens while they train, and is folded away.

Liu et al. (2021), section 3.2; the sizes are those of the authors' code for LAMA: Embedding(P, E) -> LSTM(E, E / 2,
two layers, both directions) -> Linear -> ReLU -> Linear. Their few-shot code has a setting without the LSTM, our `mlp`.
"""

import torch
from torch import Tensor, nn

from .reparameterization import drawn, linear, solve


class PromptEncoder(nn.Module):
    """Rows [P, E] that depend on one another; drawn as torch draws such layers, or ending in given rows."""

    def __init__(
        self, length: int, width: int, generator: torch.Generator, *, recurrent: bool, rows: Tensor | None
    ) -> None:
        super().__init__()
        half = width // 2
        self.embedding = nn.Parameter(torch.randn(length, width, generator=generator))
        self.lstm = None
        if recurrent:
            self.lstm = drawn(nn.LSTM(width, half, 2, bidirectional=True, device="meta"), half, generator)
        self.inner = linear(2 * half if recurrent else width, width, generator)
        self.outer = linear(width, width, generator)
        if rows is not None:
            solve(self.outer, self._middle(), rows)

    def forward(self) -> Tensor:
        """[P, E]."""
        return self.outer(self._middle())

    def _middle(self) -> Tensor:
        states = self.embedding if self.lstm is None else self.lstm(self.embedding)[0]
        return torch.relu(self.inner(states))
