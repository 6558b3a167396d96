"""CODA-Prompt: Smith et al. (2023), "CODA-Prompt: COntinual Decomposed Attention-based Prompting", for text.

Every session adds a block of components, keys and attentions; a row's prefix is the sum of all components, each
weighted by how near its key is to the row's query (section 4.1); old blocks are frozen, and a new one starts
orthogonal to them (sections 4.2 and 4.3). Departures: the query is the pooled text; there may be any number of blocks,
of any size; a new block comes from a QR decomposition against all old rows; the orthogonality penalty is off by
default, as its authors advise; the prefix is in upper layers, below which a row's states are computed once.

`head=sessions` is the paper's: a block and head rows for every session. By default the head is an incremental ridge
over random features. Its statistics hold only for features that do not move, so the first session trains the pool, and
later ones add to the statistics alone. On class-incremental text it forgets less and is right more often.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..beginnings.layers import chosen_layers
from ..errors import InvalidSetting
from ..forms import Form, PromptPool, parts
from ..heads import RidgeHead
from ..heads.ridge import new_ridge_head
from ..hyperparameters import Features, Length, Rate, Ridge, Weight
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..schedules import ScheduleName
from ..training import Plan
from .blocks import new_rows, orthogonality
from .fitting import appended, fitted, form_of
from .learned import Learned, Session, Watch, joined
from .reading import statistics
from .statistics import Statistics, check_enough


@dataclass(frozen=True)
class CodaPrompt:
    """A pool that grows by blocks, or is trained once; and a head that grows by sessions."""

    name: ClassVar[str] = "coda"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False
    components: Length = 10  # of one block
    length: Length = 4  # positions of a prefix; the paper's 8 are 4 keys and 4 values
    layers: int | str = "last:3"
    head: Literal["incremental-ridge", "sessions"] = "incremental-ridge"
    random_features: Features = 3072
    read_layers: int | str = "last:3"
    ridge: Ridge = 0.1
    penalty: Weight = 0.0
    schedule: ScheduleName = "cosine"
    learning_rate: Rate = 2e-3
    head_learning_rate: Rate = 1e-2

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """A block and head rows, or statistics."""
        if self.head == "sessions":
            learner = fitted(backbone, self, before and Start(before.form), session, plan, watch)
            labels, head = appended(before, session, learner)
            return Learned(labels, form_of(learner), head)
        if before is None:
            check_enough(session)
            form = form_of(fitted(backbone, self, None, session, plan, watch))
            layers = chosen_layers(self.read_layers, backbone.layout(backbone.place).layers, backbone.place)
            drawn = torch.Generator().manual_seed(plan.seed)
            return ridged(
                backbone, None, form, new_ridge_head(backbone, layers, self.random_features, drawn), session, self.ridge
            )
        if not isinstance(before.head, RidgeHead):
            raise InvalidSetting(
                f"the version has the head {before.head.name!r}; {self.head!r} cannot go on with it",
                hint=f"--set head={before.head.name}",
            )
        self._check_settings(backbone, before.form, before.head)
        return ridged(backbone, before, before.form, before.head, session, self.ridge)

    def _check_settings(self, backbone: Backbone, form: Form, head: RidgeHead) -> None:
        """Refuse settings that the first session decided, and that would change nothing any more.

        Raises:
            InvalidSetting: naming them.
        """
        layout = backbone.layout(backbone.place)
        read = chosen_layers(self.read_layers, layout.layers, backbone.place)
        fresh = new_ridge_head(backbone, read, self.random_features, torch.Generator())
        pool = next(part for part in parts(form) if isinstance(part, PromptPool))
        settled = {
            "random_features": fresh.projection.shape == head.projection.shape,
            "read_layers": fresh.lower == head.lower,
            "components": pool.blocks == (self.components,),
            "length": pool.components.shape[4] == self.length,
            "layers": pool.layers == chosen_layers(self.layers, layout.layers, backbone.place),
        }
        if other := [name for name, same in settled.items() if not same]:
            raise InvalidSetting(
                f"the first session decided {', '.join(other)}, and the version to go on from has it otherwise",
                hint="leave the setting out, or begin under another --name",
            )

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """One more block behind those of `start`.

        Raises:
            InvalidSetting: several tasks, or blocks that do not fit the settings.
        """
        if len(tasks) != 1:
            raise InvalidSetting(f"{self.name} learns one task after another, not {len(tasks)} at once")
        return CodaModule(self, backbone, generator, start and start.form)


class CodaModule(PromptModule):
    """Old blocks, which no optimizer sees, and a new one."""

    asks = True
    old_keys: Tensor
    old_attentions: Tensor
    old_components: Tensor
    keys: nn.Parameter
    attentions: nn.Parameter
    components: nn.Parameter

    def __init__(self, method: CodaPrompt, backbone: Backbone, generator: torch.Generator, start: Form | None) -> None:
        super().__init__()
        layout = backbone.layout(backbone.place)
        layers = chosen_layers(method.layers, layout.layers, backbone.place)
        shape = (2, layout.heads, method.length, layout.head_dim)
        if start is None:
            rows = torch.zeros(len(layers), 0, backbone.hidden_size)
            start = PromptPool(rows, rows, torch.zeros(len(layers), 2, 0, *shape[1:]), layers, (), backbone.place)
        if not isinstance(start, PromptPool) or (start.layers, start.components.shape[4]) != (layers, method.length):
            raise InvalidSetting(
                "the version to go on from has other layers, another length, or no pool at all",
                hint="go on with the settings that it was begun with",
            )
        self.schedule = method.schedule
        self._penalty, self._start = method.penalty, start
        flat = start.components.transpose(1, 2).flatten(2)  # [L, M, 2 * N * P * D]
        for name, old in (("keys", start.keys), ("attentions", start.attentions), ("components", flat)):
            self.register_buffer(f"old_{name}", old, persistent=False)
            drawn = torch.stack([new_rows(rows, method.components, generator) for rows in old])
            setattr(self, name, nn.Parameter(drawn))
        self._shape = shape

    def forms(self) -> Sequence[Form]:
        """The pool with its new block."""
        keys, attentions, flat = (torch.cat([old, new], dim=1) for old, new in self._pairs())
        components = flat.unflatten(2, self._shape).transpose(1, 2)
        blocks = (*self._start.blocks, self.keys.shape[1])
        return [replace(self._start, keys=keys, attentions=attentions, components=components, blocks=blocks)]

    def added_loss(self, query: Tensor) -> Tensor:
        """The penalty of the reference code: the mean square of B B^T - I, of keys, attentions and components.

        The paper (equation 6) has the norm in place of the mean square.
        """
        if not self._penalty:
            return super().added_loss(query)
        several = [torch.cat(pair, dim=1) for pair in self._pairs()]
        return query.new_zeros(len(query)) + self._penalty * sum(map(orthogonality, several))

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        return [
            (self.old_keys, self.keys),
            (self.old_attentions, self.attentions),
            (self.old_components, self.components),
        ]


def ridged(
    backbone: Backbone,
    before: Learned | None,
    form: Form,
    head: RidgeHead,
    session: Session,
    ridge: float,
    weight: float = 1,
) -> Learned:
    """The head over what the sessions before and this one sum up to, whose rows count `weight` times."""
    labels, of = joined(before, session)
    sums = statistics(backbone, form, head, session, of, len(labels)).times(weight)
    if before is not None:
        sums = Statistics.kept(before.factors).plus(sums)
    return Learned(labels, form, replace(head, weight=sums.solved(ridge)), sums.factors())
