"""How sure a trained prompt is of each row's truth, in the form that is nearly normal over retrainings."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..forms import Form
from ..heads import Head
from ..rows.batches import micro_batches
from ..rows.collation import collate
from ..rows.encoding import Example
from ..runtime.backbone import Backbone
from ..runtime.bank import Bank
from ..runtime.reading import read

LEAST = 1e-15  # nats; what double precision resolves of a loss


@torch.no_grad()
def losses(backbone: Backbone, form: Form, head: Head, rows: Sequence[Sequence[Example]]) -> NDArray[np.float64]:
    """The loss of each row [R] in nats, the mean over its windows or templates; computed in double precision."""
    items = [(place, example) for place, examples in enumerate(rows) for example in examples]
    bank, sums = Bank.of([form]), np.zeros(len(rows))
    for group in micro_batches([example.length for _, example in items]):
        batch = collate(backbone, [items[index][1] for index in group])
        (reading,) = read(backbone, batch, bank, torch.zeros_like(batch.group), [head])
        found = head.loss(reading.logits.double(), reading.batch).cpu().numpy()
        np.add.at(sums, [items[index][0] for index in group], found)
    return sums / [len(examples) for examples in rows]


def confidence(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)) of the truth's probability p = exp(-loss): Carlini et al. (2022), section IV.C.

    Of a row with several things to say (words, a start and an end) p is their geometric mean.
    """
    nats = np.maximum(losses, LEAST)
    return -nats - np.log(-np.expm1(-nats))
