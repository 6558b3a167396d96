"""Progressive Prompts: Razdaibiedina et al. (2023), "Progressive Prompts: Continual Learning for Language Models".

Every session learns a soft prompt that stands before those of all sessions before it, which are frozen (section 3.1).
It must be told at inference which session a row belongs to, and forgets nothing by construction. Departures: the
prompts take no positions and drive no text out; no MLP (its section 3.2 finds little in it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InvalidSetting
from ..forms import Form, SoftPrompt
from ..hyperparameters import Length, Rate
from ..prompt import PromptModule, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..schedules import ScheduleName
from ..training import Plan
from .fitting import appended, fitted, form_of
from .learned import Learned, Session, Watch

SPREAD = 0.02  # standard deviation of new prompts


@dataclass(frozen=True)
class ProgressivePrompts:
    """A soft prompt per session before the frozen ones of all earlier sessions."""

    name: ClassVar[str] = "progressive-prompts"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = True
    length: Length = 4
    schedule: ScheduleName = "cosine"
    learning_rate: Rate = 5e-3
    head_learning_rate: Rate = 1e-2

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """One more soft prompt, and a head for the session alone."""
        learner = fitted(backbone, self, before and Start(before.form), session, plan, watch)
        labels, head = appended(None, session, learner)
        own = Learned(labels, form_of(learner), head)
        return replace(own, alone=((*before.alone, own) if before else (own,)))

    def build(
        self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator, start: Start | None = None
    ) -> PromptModule:
        """New vectors before those of `start`.

        Raises:
            InvalidSetting: `start` has no soft prompt.
        """
        new = SPREAD * torch.randn(self.length, backbone.embedding_size, generator=generator)
        if start is None:
            return ProgressiveModule(self, new, new[:0])
        if not isinstance(start.form, SoftPrompt):
            raise InvalidSetting("progressive-prompts goes on from a soft prompt, and from nothing else")
        return ProgressiveModule(self, new, start.form.embeddings)


class ProgressiveModule(PromptModule):
    """A trainable soft prompt, and frozen ones behind it."""

    old: Tensor

    def __init__(self, method: ProgressivePrompts, new: Tensor, old: Tensor) -> None:
        super().__init__()
        self.schedule = method.schedule
        self.new = nn.Parameter(new)
        self.register_buffer("old", old, persistent=False)

    def forms(self) -> Sequence[Form]:
        """The new one first, then the old ones from the youngest on."""
        return [SoftPrompt(torch.cat([self.new, self.old]))]
