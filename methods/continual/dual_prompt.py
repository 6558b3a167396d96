"""DualPrompt: Wang et al. (2022), "DualPrompt: Complementary Prompting for Rehearsal-free Continual Learning".

A G-prompt in lower layers that all sessions train, and an E-prompt per session in upper ones, which training takes by
its session and inference by the key that is nearest to the row's query (sections 4.1 and 4.2). Departures: as in the
reference code of CODA-Prompt the head's loss is masked by the session's labels; the key's loss is a mean over rows, so
that it does not grow with the batch; layers and lengths are those of a small backbone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..beginnings.layers import chosen_layers
from ..errors import InvalidSetting
from ..forms import Form, Part, Prefix, PromptPool, Stack, parts
from ..hyperparameters import Length, Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..schedules import ScheduleName
from ..stored import moved
from ..training import Plan
from ..types import Place
from .fitting import appended, fitted, form_of
from .learned import Learned, Session, Watch

SPREAD = 0.02  # standard deviation of new prompts


@dataclass(frozen=True)
class DualPrompt:
    """One prefix for all sessions, and one of each session that its key finds."""

    name: ClassVar[str] = "dualprompt"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False
    general_length: Length = 3
    general_layers: int | str = "3"
    length: Length = 10
    layers: int | str = "4,5"
    schedule: ScheduleName = "cosine"
    learning_rate: Rate = 5e-3
    head_learning_rate: Rate = 1e-2

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The G-prompt trained on, a new E-prompt with its key, new head rows."""
        learner = fitted(backbone, self, before and Start(before.form), session, plan, watch)
        labels, head = appended(before, session, learner)
        return Learned(labels, form_of(learner), head)

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """The G-prompt of `start`, or a new one, and a new E-prompt."""
        return DualModule(self, backbone, generator, start and start.form)


class DualModule(PromptModule):
    """A G-prompt, the new session's E-prompt and key; the E-prompts before it are no parameters."""

    asks = True

    def __init__(self, method: DualPrompt, backbone: Backbone, generator: torch.Generator, start: Form | None) -> None:
        super().__init__()
        self.schedule = method.schedule
        self._place: Place = backbone.place
        layout = backbone.layout(backbone.place)
        below, above = (
            chosen_layers(setting, layout.layers, backbone.place) for setting in (method.general_layers, method.layers)
        )
        self._layers = below, above

        def drawn(layers: Sequence[int], length: int) -> Tensor:
            size = (len(layers), 2, layout.heads, length, layout.head_dim)
            return SPREAD * torch.randn(size, generator=generator)

        general, self._before = _taken(start, ((below, method.general_length), (above, method.length)))
        self.general = nn.Parameter(drawn(below, method.general_length) if general is None else general.clone())
        self.expert = nn.Parameter(drawn(above, method.length))
        self.key = nn.Parameter(torch.randn(backbone.hidden_size, generator=generator))

    def forms(self) -> Sequence[Form]:
        """Both prompts, the E-prompt chosen by its session."""
        below, above = self._layers
        return [Stack((Prefix(self.general, below, self._place), Prefix(self.expert, above, self._place)))]

    def added_loss(self, query: Tensor) -> Tensor:
        """One minus the cosine of query and key."""
        return 1 - functional.cosine_similarity(query, self.key[None], dim=1)

    def fold(self, task: int) -> Form:
        """The G-prompt, and a pool of all E-prompts of which a row takes the nearest."""
        below, above = self._layers
        key = self.key.detach()[None, None].expand(len(above), 1, -1)
        new = PromptPool(
            key.contiguous(),
            torch.ones_like(key),
            self.expert.detach()[:, :, None].clone(),
            above,
            (1,),
            self._place,
            1,
        )
        before = self._before and moved(self._before, key.device)
        return Stack((Prefix(self.general.detach().clone(), below, self._place), _joined(before, new)))


def _taken(
    start: Form | None, wanted: tuple[tuple[Sequence[int], int], ...]
) -> tuple[Tensor | None, PromptPool | None]:
    """The G-prompt and the pool of a version, each with the layers and the length that are wanted.

    Raises:
        InvalidSetting: it is made of something else, or in other sizes.
    """
    match parts(start):
        case ():
            return None, None
        case (Prefix(general, layers), PromptPool() as pool):
            if ((layers, general.shape[3]), (pool.layers, pool.components.shape[4])) != wanted:
                raise InvalidSetting(
                    "dualprompt goes on in the layers and with the lengths of its prompts, and in no others",
                    hint="go on with the settings that it was begun with",
                )
            return general, pool
        case _:
            raise InvalidSetting("dualprompt goes on from a G-prompt and a pool of E-prompts, and from nothing else")


def _joined(before: PromptPool | None, new: PromptPool) -> Part:
    if before is None:
        return new
    return replace(
        before,
        keys=torch.cat([before.keys, new.keys], dim=1),
        attentions=torch.cat([before.attentions, new.attentions], dim=1),
        components=torch.cat([before.components, new.components], dim=2),
        blocks=(*before.blocks, 1),
    )
