"""Class means (NCM): the label whose mean feature is nearest by the cosine, on the bare backbone.

Janson et al. (2022), "A Simple Baseline that Questions the Use of Pretrained-Models in Continual Learning".
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from ..heads import SessionsHead
from ..heads.ridge import new_ridge_head
from ..runtime.backbone import Backbone
from ..training import Plan
from .learned import Learned, Session, Watch, joined
from .reading import statistics


@dataclass(frozen=True)
class ClassMeans:
    """Sums of normalised features, and how many they are of."""

    name: ClassVar[str] = "ncm"
    joint: ClassVar[bool] = False
    told: ClassVar[bool] = False

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """The means of all rows so far."""
        del plan, watch
        labels, of = joined(before, session)
        reader = new_ridge_head(backbone, (), 0, torch.Generator())
        found = statistics(backbone, None, reader, session, of, len(labels))
        sums = found.sums[:, :-1].float()
        if before is not None:
            sums[: len(before.factors["sums"])] += before.factors["sums"]
        head = SessionsHead(
            functional.normalize(sums, dim=1), torch.zeros(len(labels)), tuple(range(len(labels))), backbone.pooling
        )
        return Learned(labels, None, head, {"sums": sums})
