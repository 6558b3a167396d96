"""Rows that a version got wrong, learned so that it gets them right."""

from collections.abc import Iterator

import torch

from ..errors import InvalidSetting
from ..heads import RidgeHead
from ..runtime.backbone import Backbone
from .coda import CodaPrompt, ridged
from .learned import ContinualMethod, Learned, Session
from .reading import Judge

WEIGHTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32)  # of a correction, beside a row that was learned before
ENOUGH = 0.9  # of the corrections, right


def corrected(
    backbone: Backbone, method: ContinualMethod, before: Learned, session: Session
) -> Iterator[tuple[Learned, float]]:
    """What is known with the corrections, counted more and more often, and the share of them that is then right.

    A row that was misjudged lies among rows of another label, so counting it once seldom moves the regression enough.
    It ends with the first weight by which enough are right.

    Raises:
        InvalidSetting: the version has no incremental ridge head, which alone can take corrections back to all it knew.
    """
    if not isinstance(method, CodaPrompt) or not isinstance(before.head, RidgeHead):
        raise InvalidSetting(
            f"the version is of {method.name} with the head {before.head.name!r}; they need an incremental ridge",
            hint="promptctl train --method coda --name NAME --tasks ...",
        )
    known = Judge(backbone, [session.examples], before)
    for weight in WEIGHTS:
        learned = ridged(backbone, before, before.form, before.head, session, method.ridge, weight)
        right = known.accuracy(learned, 0, [learned.labels.index(label) for label in session.labels])
        yield learned, right
        if right >= ENOUGH:
            return


def accuracy(backbone: Backbone, learned: Learned, session: Session) -> float:
    """The share of a session's own rows that is right; of labels that are not known, none."""
    of = [learned.labels.index(label) if label in learned.labels else -1 for label in session.labels]
    with torch.no_grad():
        return Judge(backbone, [session.examples], learned).accuracy(learned, 0, of)
