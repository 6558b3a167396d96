"""Ridge regression on the bare backbone: exactly what all rows together would give, session by session.

With random features it is RanPAC without its prompts (McDonnell et al., 2023, section 3).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..heads import RidgeHead
from ..heads.ridge import new_ridge_head
from ..hyperparameters import Features, Ridge
from ..runtime.backbone import Backbone
from ..training import Plan
from .coda import ridged
from .learned import Learned, Session, Watch


@dataclass(frozen=True)
class IncrementalRidge:
    """On the last layer's pooled text."""

    name: ClassVar[str] = "ridge"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False
    random_features: Features = 0
    ridge: Ridge = 0.1

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The sums of one more session."""
        del watch
        drawn = torch.Generator().manual_seed(plan.seed)
        head = before.head if before else new_ridge_head(backbone, (), self.random_features, drawn)
        if not isinstance(head, RidgeHead):
            raise TypeError(head.name)
        return ridged(backbone, before, None, head, session, self.ridge)


@dataclass(frozen=True)
class RandomFeatureRidge(IncrementalRidge):
    """On random features of it."""

    name: ClassVar[str] = "ridge-random"
    random_features: Features = 3072
