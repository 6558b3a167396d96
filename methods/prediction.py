"""Answers: one frozen forward over rows of any tasks, versions, lengths and forms, and what their logits mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from .artifact import Artifact
from .backbone import Backbone
from .encoding import Example, collate
from .errors import InvalidSetting
from .forms import Bank
from .heads import LinearHead
from .task import Row

Output: TypeAlias = NDArray[np.float32]  # [C], or [T, 2] of a span head

LONGEST_ANSWER = 30  # tokens


@dataclass(frozen=True)
class Classified:
    """The most likely label, and the probability of each."""

    label: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Span:
    """A part of the context, its characters [start, end), and its probability among the spans of its window."""

    text: str
    start: int
    end: int
    score: float


Answer: TypeAlias = Classified | Span


@torch.inference_mode()
def predict(backbone: Backbone, items: Sequence[tuple[Artifact, Example]]) -> list[Output]:
    """The head's logits for each item, in order, from one forward of the backbone."""
    artifacts = list({id(artifact): artifact for artifact, _ in items}.values())
    place = {id(artifact): index for index, artifact in enumerate(artifacts)}
    owner = torch.tensor([place[id(artifact)] for artifact, _ in items], device=backbone.device)
    batch = collate(backbone, [example for _, example in items])
    hidden = backbone.hidden(batch, Bank.of([artifact.form for artifact in artifacts]).rows(owner))
    outputs: list[Output] = [np.empty(0, np.float32)] * len(items)
    for index, artifact in enumerate(artifacts):
        if artifact.head is None:
            raise InvalidSetting(f"{artifact.card.name!r} has no head; only a task's own versions give answers")
        rows = (owner == index).nonzero().flatten()
        logits = artifact.head.logits(hidden[rows], batch.select(rows)).float().cpu().numpy()
        for row, output in zip(rows.tolist(), logits, strict=True):
            linear = isinstance(artifact.head, LinearHead)
            outputs[row] = output if linear else output[: items[row][1].length]
    return outputs


def answer(artifact: Artifact, row: Row, examples: Sequence[Example], outputs: Sequence[Output]) -> Answer:
    """What the logits of a row's examples say; the windows of a long context compete by their best span."""
    task = artifact.card.task
    if task is None:
        raise InvalidSetting(f"{artifact.card.name!r} belongs to no task; only a task's own versions give answers")
    if task.kind == "span-qa":
        return _span(row, examples, outputs)
    scores = _softmax(outputs[0].astype(np.float64))
    return Classified(task.labels[int(scores.argmax())], dict(zip(task.labels, scores.tolist(), strict=True)))


def _span(row: Row, examples: Sequence[Example], outputs: Sequence[Output]) -> Span:
    context = row.pair or ""
    found = [_best_span(context, example, logits) for example, logits in zip(examples, outputs, strict=True)]
    return max((pair for pair in found if pair is not None), key=lambda pair: pair[0])[1]


def _best_span(context: str, example: Example, logits: Output) -> tuple[float, Span] | None:
    """The window's best span and its logit; none for a window without a token of the context."""
    spans = [(index, span) for index, span in enumerate(example.offsets) if span is not None]
    if not spans:
        return None
    tokens = [index for index, _ in spans]
    start, end = logits[tokens, 0].astype(np.float64), logits[tokens, 1].astype(np.float64)
    place = np.arange(len(tokens))
    width = place[None, :] - place[:, None]
    sums = np.where((width >= 0) & (width < LONGEST_ANSWER), start[:, None] + end[None, :], -np.inf)
    first, last = divmod(int(sums.argmax()), len(tokens))
    left, right = spans[first][1][0], spans[last][1][1]
    score = float(_softmax(start)[first] * _softmax(end)[last])
    return float(sums[first, last]), Span(context[left:right], left, right, score)


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(values - values.max())
    return shifted / shifted.sum()
