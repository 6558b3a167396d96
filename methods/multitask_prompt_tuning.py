"""Multitask prompt tuning: Wang et al. (2023), "Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning".

A task's prompt is the shared prompt times a low-rank matrix of the task, element by element: P_k = P* o (u_k v_k^T)
(section 3.1). The paper prepends it to the encoder's input; that is `form="soft-prompt"`. Our default applies the same
product to a prefix, [P, W] in place of [P, H], which costs less to serve and reaches more on small backbones. The
paper does not say how u and v start; ours start at one, so that every task begins exactly at the shared prompt.

Source tasks can learn from teachers (section 3.2): one prompt of the same size per task, trained alone. The paper's
weight is `distillation=0.9`; ours is 0 unless asked, because on a backbone of 22 million parameters and six tasks of
400 rows it gave 0.007 of the mean metric, no more than noise, for twice the time. New tasks start at a shared prompt
and at the mean of its source tasks' u and v (section 3.3); `freeze_shared` leaves the shared prompt as it is, so that a
task learns its u and v alone. The paper's rates on T5 are 0.3 for the shared prompt and 0.4 for the factors.
`sampling=stochastic` is the paper's; ours sees every row once an epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from .beginnings.geometry import Geometry, PrefixGeometry, SoftGeometry
from .beginnings.initializers import Init, Initializer
from .beginnings.placement import placed
from .distillation import Distillation
from .errors import InvalidSetting
from .forms import Form, Prefix, SoftPrompt
from .hyperparameters import Length, Rank, Rate, Temperature, Weight
from .prefix_tuning import PrefixTuning
from .prompt import Method, PromptModule, Start
from .prompt_tuning import PromptTuning
from .rows.sampling import Sampling
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
    distillation: Weight = 0.0
    temperature: Temperature = 1.0
    sampling: Sampling = "every-row"
    freeze_shared: bool = False
    learning_rate: Rate = 3e-2
    factor_learning_rate: Rate = 3e-2
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
        if self.freeze_shared and start is None:
            raise InvalidSetting("freeze_shared keeps the shared prompt that is given", hint="--from shared:NAME")
        prompts = _SharedPrompt(geometry, rows, [self._factors(rows, start, generator) for _ in tasks])
        prompts.matrix.requires_grad_(not self.freeze_shared)
        prompts.sampling = self.sampling
        if self.distillation and start is None and len(tasks) > 1:
            prompts.distillation = Distillation(self.distillation, self.temperature, self._teacher())
        return prompts

    def _teacher(self) -> Method:
        """A prompt for each source task alone, of the same size and from as many words."""
        same: dict[str, Any] = {
            "length": self.length,
            "init": self.init,
            "init_text": self.init_text,
            "learning_rate": self.learning_rate,
            "head_learning_rate": self.head_learning_rate,
        }
        if self.form == "prefix":
            return PrefixTuning(**same, layers=self.layers)
        return PromptTuning(**same, placement=self.placement)

    def _factors(self, rows: Tensor, start: Start | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """u [P, R] and v [R, W]: the source tasks' mean, or ones."""
        length, width = rows.shape
        if start is None or not start.factors:
            ones = _first_column_ones(length, self.rank, generator), _first_row_ones(self.rank, width)
            return ones[0].to(rows.device), ones[1].to(rows.device)
        u, v = start.factors["u"], start.factors["v"]
        if u.shape != (length, self.rank):
            raise InvalidSetting(
                f"the given shared prompt has factors of rank {u.shape[1]}; these settings need rank {self.rank}",
                hint=f"--set rank={u.shape[1]}",
            )
        return u.clone().to(rows.device), v.clone().to(rows.device)

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
    def __init__(self, geometry: Geometry, rows: Tensor, factors: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(rows)  # [P, W]
        self.u = nn.ParameterList([u for u, _ in factors])
        self.v = nn.ParameterList([v for _, v in factors])
        self._geometry = geometry

    def forms(self) -> Sequence[Form]:
        return [self._geometry.part(self.matrix * (u @ v)) for u, v in zip(self.u, self.v, strict=True)]

    def shared(self) -> Form:
        return self._geometry.part(self.matrix)

    def shared_factors(self) -> dict[str, Tensor]:
        """The mean of u and that of v over the tasks (section 3.3), not that of their products."""
        return {"u": torch.stack(list(self.u)).mean(0).detach(), "v": torch.stack(list(self.v)).mean(0).detach()}

    def factors(self, task: int) -> dict[str, Tensor]:
        return {"u": self.u[task].detach().clone(), "v": self.v[task].detach().clone()}

    def rates(self, method: Method) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        assert isinstance(method, MultitaskPromptTuning)
        return [([self.matrix], method.learning_rate), ([*self.u, *self.v], method.factor_learning_rate)]

    def parameters_per_task(self) -> int:
        return self.u[0].numel() + self.v[0].numel()


def _first_column_ones(length: int, rank: int, generator: torch.Generator) -> Tensor:
    """u [P, R]: ones, then small noise, so that higher ranks get a gradient although their v starts at zero."""
    noise = 0.02 * torch.randn(length, rank - 1, generator=generator)
    return torch.cat([torch.ones(length, 1), noise], dim=1)


def _first_row_ones(rank: int, width: int) -> Tensor:
    """v [R, W]: ones, then zeros."""
    return torch.cat([torch.ones(1, width), torch.zeros(rank - 1, width)])
