"""L2P: Wang et al. (2022), "Learning to Prompt for Continual Learning", as prefixes (L2P++ of Smith et al., 2023).

One pool for all sessions; a row takes the prefixes of the keys nearest to its query, one after the other (section 4.1),
and training pulls these keys to it (equation 5). Departures: each row chooses by itself, in training and at inference,
never by a vote of the batch; the pull is that of the row's own keys; the head's loss is masked by the session's labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..beginnings.layers import chosen_layers
from ..errors import InvalidSetting
from ..forms import Form, PromptPool
from ..hyperparameters import Length, Rate, Weight
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..runtime.pool import weights
from ..schedules import ScheduleName
from ..training import Plan
from .fitting import appended, fitted, form_of
from .learned import Learned, Session, Watch

SPREAD = 0.02  # standard deviation of new prompts


@dataclass(frozen=True)
class L2P:
    """A pool of a fixed size that every session trains on."""

    name: ClassVar[str] = "l2p"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False
    components: Length = 30
    top: Length = 5
    length: Length = 2
    layers: int | str = "last:3"
    pull: Weight = 1.0
    schedule: ScheduleName = "cosine"
    learning_rate: Rate = 5e-3
    head_learning_rate: Rate = 1e-2

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The pool trained on, new head rows."""
        learner = fitted(backbone, self, before and Start(before.form), session, plan, watch)
        labels, head = appended(before, session, learner)
        return Learned(labels, form_of(learner), head)

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """The pool of `start`, or a new one.

        Raises:
            InvalidSetting: `start` has no pool, or a row wants more components than there are.
        """
        if self.top > self.components:
            raise InvalidSetting(f"top {self.top} of {self.components} components is more than all of them")
        if start is None:
            return PoolModule(self, _drawn(self, backbone, generator))
        if not isinstance(start.form, PromptPool):
            raise InvalidSetting("l2p goes on from a pool, and from nothing else")
        return PoolModule(self, start.form)


class PoolModule(PromptModule):
    """A pool, all of which trains."""

    asks = True
    attentions: Tensor

    def __init__(self, method: L2P, pool: PromptPool) -> None:
        super().__init__()
        self.schedule = method.schedule
        self._pull, self._pool = method.pull, pool
        self.register_buffer("attentions", pool.attentions, persistent=False)
        self.keys, self.components = nn.Parameter(pool.keys.clone()), nn.Parameter(pool.components.clone())

    def forms(self) -> Sequence[Form]:
        """The pool."""
        pool = self._pool
        return [PromptPool(self.keys, self.attentions, self.components, pool.layers, pool.blocks, pool.place, pool.top)]

    def added_loss(self, query: Tensor) -> Tensor:
        """The pull: one minus the cosine of query and each key that it chose, the mean over keys and layers."""
        (pool,) = self.forms()
        if not isinstance(pool, PromptPool):
            return super().added_loss(query)
        return self._pull * (1 - weights(pool, query).topk(pool.top, dim=2).values).mean((1, 2))


def _drawn(method: L2P, backbone: Backbone, generator: torch.Generator) -> PromptPool:
    layout = backbone.layout(backbone.place)
    layers = chosen_layers(method.layers, layout.layers, backbone.place)
    keys = torch.randn(len(layers), method.components, backbone.hidden_size, generator=generator)
    size = (len(layers), 2, method.components, layout.heads, method.length, layout.head_dim)
    components = SPREAD * torch.randn(size, generator=generator)
    blocks = (method.components,)
    return PromptPool(keys, torch.ones_like(keys), components, layers, blocks, backbone.place, method.top)
