"""What a method builds: a module that trains prompts for K tasks and folds each into a form."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from .distillation import Distillation
from .forms import Form, Prefix, detached
from .rows.sampling import Sampling
from .rows.task import Task
from .runtime.backbone import Backbone, Layout
from .schedules import ScheduleName
from .types import Place


class PromptModule(nn.Module):
    """Trainable prompts of K tasks. Subclasses hold the parameters; nothing here touches the backbone."""

    distillation: Distillation | None = None  # what teachers are for, where the method wants them
    sampling: Sampling = "every-row"
    schedule: ScheduleName = "linear"
    asks: bool = False  # whether training needs every row's query

    def forms(self) -> Sequence[Form]:
        """One form per task, as differentiable tensors."""
        raise NotImplementedError

    def shared(self) -> Form:
        """The prompt that all tasks share, if there is one."""
        return None

    def shared_factors(self) -> dict[str, Tensor]:
        """What a new task's factors start at, kept in the shared prompt's artifact beside it."""
        return {}

    def factors(self, task: int) -> dict[str, Tensor]:
        """What made a task's form out of the shared prompt; kept in its artifact beside the folded form."""
        return {}

    def rates(self, method: "Method") -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Which parameters learn at which rate."""
        return [(list(self.parameters()), method.learning_rate)]

    def added_loss(self, query: Tensor) -> Tensor:
        """What rows with these queries [b, H] cost beside their labels' own loss [b]; of methods that ask."""
        return query.new_zeros(len(query))

    def adapted(self, backbone: Backbone) -> Backbone:
        """What the prompts run on: the frozen backbone itself, but for baselines that change a copy of it."""
        return backbone

    def parameters_per_task(self) -> int:
        """Numbers that one more task adds to training, without its head."""
        return sum(parameter.numel() for parameter in self.parameters())

    def fold(self, task: int) -> Form:
        """The task's form, detached: what is left to serve."""
        return detached(self.forms()[task])


@dataclass(frozen=True)
class Start:
    """Where training begins: at a prompt, and, of a shared one, at the mean of its source tasks' factors."""

    form: Form
    factors: Mapping[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """A frozen dataclass of hyperparameters; `build` turns it into something to train."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def learning_rate(self) -> float:
        """AdamW's rate for the prompts."""
        ...

    @property
    def head_learning_rate(self) -> float:
        """AdamW's rate for the heads."""
        ...

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """Prompts for the tasks on the backbone, started from words or from `start`."""
        ...


def as_prefix(matrix: Tensor, layout: Layout, layers: Sequence[int], place: Place = "encoder") -> Prefix:
    """[P, W] as a prefix in the given layers."""
    key_values = matrix.view(len(matrix), len(layers), 2, layout.heads, layout.head_dim).permute(1, 2, 3, 0, 4)
    return Prefix(key_values, tuple(layers), place)


def as_matrix(prefix: Prefix) -> Tensor:
    """The inverse of `as_prefix`: [P, W]."""
    return prefix.key_values.permute(3, 0, 1, 2, 4).reshape(prefix.key_values.shape[3], -1).clone()
