"""Several patterns of one task vote: the weighted mean of their logits (Schick and Schütze, 2021, section 3.3)."""

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..errors import InvalidSetting
from ..rows.text_prompt import TextPrompt


def voted(prompt: TextPrompt | None, outputs: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """The logits [C] of a row from those of its patterns; exact sums, so that the patterns' order changes nothing."""
    weights = (prompt.weights if prompt is not None else ()) or (1.0,) * len(outputs)
    columns = np.stack(outputs).astype(np.float64).T
    sums = [fsum(weight * value for weight, value in zip(weights, column, strict=True)) for column in columns]
    return np.array(sums) / fsum(weights)


def alone(artifact: Artifact, pattern: int) -> Artifact:
    """The same version with one of its patterns only.

    Raises:
        InvalidSetting: it is no version of a task in words.
    """
    task = artifact.card.task
    if task is None or task.text_prompt is None:
        raise InvalidSetting(f"{artifact.card.name!r} has no patterns")
    prompt = replace(task.text_prompt, templates=(task.text_prompt.templates[pattern],), weights=())
    return replace(artifact, card=replace(artifact.card, task=replace(task, text_prompt=prompt)))
