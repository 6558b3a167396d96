"""The floor: one prefix and one head that every session trains on, as if nothing had come before.

FT trains all rows of the head on the session's labels alone and forgets everything else. FT++ leaves the logits of
other sessions out of the loss (Smith et al., 2023, section 5.1), which is most of what there is to gain.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ..hyperparameters import Length, Rate
from ..prefix_tuning import PrefixTuning
from ..prompt import Start
from ..runtime.backbone import Backbone
from ..training import Plan
from .fitting import appended, fitted, form_of, learner_of, run, sessions_head
from .learned import Learned, Session, Watch, joined


@dataclass(frozen=True)
class MaskedFineTuning:
    """FT++: the prefix goes on, the head gets new rows."""

    name: ClassVar[str] = "ftpp"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False
    length: Length = 8
    learning_rate: Rate = 5e-3
    head_learning_rate: Rate = 1e-2

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The same prefix, trained on."""
        learner = fitted(backbone, prefix(self), before and Start(before.form), session, plan, watch)
        labels, head = appended(before, session, learner)
        return Learned(labels, form_of(learner), head)


@dataclass(frozen=True)
class FineTuning(MaskedFineTuning):
    """FT: the loss is over all labels known so far."""

    name: ClassVar[str] = "ft"

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The same prefix and the same head, trained on."""
        labels, of = joined(before, session)
        everything = Session(labels, [replace(one, label=of[one.label]) for one in session.examples])
        learner = learner_of(backbone, prefix(self), labels, before and Start(before.form), plan.seed)
        if before is not None:
            old = sessions_head(before)
            with torch.no_grad():
                head = learner.head(0)
                for name in ("weight", "bias"):
                    getattr(head, name)[: len(old.of)].copy_(getattr(old, name))
        run(learner, everything, plan, watch)
        return Learned(labels, form_of(learner), appended(None, everything, learner)[1])


def prefix(method: MaskedFineTuning) -> PrefixTuning:
    """What is tuned."""
    return PrefixTuning(
        length=method.length, learning_rate=method.learning_rate, head_learning_rate=method.head_learning_rate
    )
