"""Multitask prompt tuning: Wang et al. (2023), "Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning".

A task's prompt is the shared prompt times a low-rank matrix of the task, element by element: P_k = P* o (u_k v_k^T)
(section 3.1). The paper prepends it to the encoder's input; that is `form="soft-prompt"`. Our default applies the same
product to a prefix, [P, W] in place of [P, H], which costs less to serve and reaches more on small backbones. The
paper does not say how u and v start; ours start at one, so that every task begins exactly at the shared prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .errors import InvalidSetting
from .forms import Form, Prefix, SoftPrompt
from .initializers import prefix_from_words, soft_from_words
from .prompt import PromptModule, Start, as_matrix, as_prefix
from .task import Task


@dataclass(frozen=True)
class MultitaskPromptTuning:
    """One shared prompt, and factors u [P, R], v [R, W] per task."""

    name: ClassVar[str] = "mpt"
    length: int = 16
    rank: int = 1
    form: Literal["prefix", "soft-prompt"] = "prefix"
    learning_rate: float = 3e-2
    head_learning_rate: float = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start = None
    ) -> PromptModule:
        """The shared prompt from words, or from `start`, and each task's factors at one."""
        if self.rank < 1:
            raise InvalidSetting(f"rank {self.rank} is not possible; give 1 or more")
        if self.form == "prefix":
            shape = (backbone.layers, backbone.heads, backbone.head_dim)
            if start is not None and not isinstance(start, Prefix):
                raise InvalidSetting("the given shared prompt is a soft prompt", hint="add --set form=soft-prompt")
            matrix = as_matrix(start) if start else prefix_from_words(backbone, self.length, generator)
            return _SharedPrompt(matrix, len(tasks), self.rank, shape, generator)
        if start is not None and not isinstance(start, SoftPrompt):
            raise InvalidSetting("the given shared prompt is a prefix", hint="add --set form=prefix")
        matrix = start.embeddings.clone() if start else soft_from_words(backbone, self.length, generator)
        return _SharedPrompt(matrix, len(tasks), self.rank, None, generator)


class _SharedPrompt(PromptModule):
    def __init__(
        self,
        matrix: Tensor,
        tasks: int,
        rank: int,
        shape: tuple[int, int, int] | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        length, width = matrix.shape
        self.matrix = nn.Parameter(matrix)  # [P, W]
        self.u = nn.ParameterList([_first_column_ones(length, rank, generator, matrix.device) for _ in range(tasks)])
        self.v = nn.ParameterList([_first_row_ones(rank, width, matrix.device) for _ in range(tasks)])
        self._shape = shape

    def forms(self) -> list[Form]:
        return [self._form(self.matrix * (u @ v)) for u, v in zip(self.u, self.v, strict=True)]

    def shared(self) -> Form:
        return self._form(self.matrix)

    def factors(self, task: int) -> dict[str, Tensor]:
        return {"u": self.u[task].detach().clone(), "v": self.v[task].detach().clone()}

    def parameters_per_task(self) -> int:
        return self.u[0].numel() + self.v[0].numel()

    def _form(self, matrix: Tensor) -> Form:
        return SoftPrompt(matrix) if self._shape is None else as_prefix(matrix, self._shape)


def _first_column_ones(length: int, rank: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """u [P, R]: ones, then small noise, so that higher ranks get a gradient although their v starts at zero."""
    noise = 0.02 * torch.randn(length, rank - 1, generator=generator)
    return torch.cat([torch.ones(length, 1), noise], dim=1).to(device)


def _first_row_ones(rank: int, width: int, device: torch.device) -> Tensor:
    """v [R, W]: ones, then zeros."""
    return torch.cat([torch.ones(1, width), torch.zeros(rank - 1, width)]).to(device)
