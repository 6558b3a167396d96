"""Texts as vectors: what a version's own head reads of them, seen through its prompt."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .artifact import Artifact
from .errors import InvalidSetting
from .heads import ClassifierHead, LinearHead, RidgeHead, SessionsHead
from .heads.pooled import PooledHead
from .words.patterns import voted


def embedder(artifact: Artifact) -> Artifact:
    """The same version with a head that gives the pooled vector [H] instead of making labels of it.

    Raises:
        InvalidSetting: its head reads something else than one vector per text.
    """
    match artifact.head:
        case LinearHead(pooling=pooling, pooler=pooler):
            return replace(artifact, head=PooledHead(pooling, pooler))
        case ClassifierHead(pooling=pooling) | SessionsHead(pooling=pooling) | RidgeHead(pooling=pooling):
            return replace(artifact, head=PooledHead(pooling))
        case head:
            raise InvalidSetting(
                f"{artifact.card.name!r} makes no vector of a text: its head is {head.name if head else 'missing'}",
                hint="ask a prompt that chooses one label for a text, other than by its words",
            )


def embedding(artifact: Artifact, outputs: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """A text's vector [H] from those of its patterns, weighted as they vote."""
    return voted(artifact.card.task.text_prompt if artifact.card.task else None, outputs)
