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

from .beginnings.geometry import Geometry, PrefixGeometry, SoftGeometry
from .beginnings.initializers import Init, Initializer
from .beginnings.placement import placed
from .errors import InvalidSetting
from .forms import Form, Prefix, SoftPrompt
from .hyperparameters import Length, Rank, Rate
from .prompt import PromptModule, Start
from .rows.task import Task
from .runtime.backbone import Backbone
from .types import Placement


@dataclass(frozen=True)
class MultitaskPromptTuning:
    """One shared prompt, and factors u [P, R], v [R, W] per task.

    `layers` is for the prefix; `placement` for the soft prompt of tasks whose template has no slots `{prompt}`.
    """

    name: ClassVar[str] = "mpt"
    length: Length = 16
    rank: Rank = 1
    form: Literal["prefix", "soft-prompt"] = "prefix"
    layers: int | str = "all"
    placement: Placement = "after-first"
    init: Init = "vocabulary"
    init_text: str = ""
    learning_rate: Rate = 3e-2
    head_learning_rate: Rate = 1e-2

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """The shared prompt from words, or from `start`, and each task's factors at one."""
        if self.form == "prefix" and start and isinstance(start.form, SoftPrompt):
            raise InvalidSetting("the given shared prompt is a soft prompt", hint="add --set form=soft-prompt")
        if self.form == "soft-prompt" and start and isinstance(start.form, Prefix):
            raise InvalidSetting("the given shared prompt is a prefix", hint="add --set form=prefix")
        initializer = Initializer(self.length, self.init, self.init_text)
        geometries = [self._geometry(backbone, tasks)]
        [(geometry, rows)] = initializer.begin(backbone, geometries, tasks, generator, start and start.form)
        return _SharedPrompt(geometry, rows, len(tasks), self.rank, generator)

    def _geometry(self, backbone: Backbone, tasks: Sequence[Task]) -> Geometry:
        if self.form == "prefix":
            if self.placement != "after-first":
                raise InvalidSetting("a prefix has no placement", hint="add --set form=soft-prompt")
            return PrefixGeometry.of(backbone, backbone.place, self.layers)
        if self.layers != "all":
            raise InvalidSetting("a soft prompt has no layers", hint="add --set form=prefix")
        several: list[Placement] = [placed(backbone, task, self.placement, self.length) for task in tasks]
        if len(set(several)) > 1:
            raise InvalidSetting(
                "some of the tasks have a template with slots {prompt}; tasks that share have one each"
            )
        return SoftGeometry(backbone.embedding_size, several[0])


class _SharedPrompt(PromptModule):
    def __init__(self, geometry: Geometry, rows: Tensor, tasks: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        length, width = rows.shape
        self.matrix = nn.Parameter(rows)  # [P, W]
        self.u = nn.ParameterList([_first_column_ones(length, rank, generator, rows.device) for _ in range(tasks)])
        self.v = nn.ParameterList([_first_row_ones(rank, width, rows.device) for _ in range(tasks)])
        self._geometry = geometry

    def forms(self) -> Sequence[Form]:
        return [self._geometry.part(self.matrix * (u @ v)) for u, v in zip(self.u, self.v, strict=True)]

    def shared(self) -> Form:
        return self._geometry.part(self.matrix)

    def factors(self, task: int) -> dict[str, Tensor]:
        return {"u": self.u[task].detach().clone(), "v": self.v[task].detach().clone()}

    def parameters_per_task(self) -> int:
        return self.u[0].numel() + self.v[0].numel()


def _first_column_ones(length: int, rank: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """u [P, R]: ones, then small noise, so that higher ranks get a gradient although their v starts at zero."""
    noise = 0.02 * torch.randn(length, rank - 1, generator=generator)
    return torch.cat([torch.ones(length, 1), noise], dim=1).to(device)


def _first_row_ones(rank: int, width: int, device: torch.device) -> Tensor:
    """v [R, W]: ones, then zeros."""
    return torch.cat([torch.ones(1, width), torch.zeros(rank - 1, width)]).to(device)
