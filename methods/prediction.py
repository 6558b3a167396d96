"""Answers: one frozen forward over rows of any tasks, versions, lengths and forms, and what their logits mean."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .artifact import Artifact
from .errors import InvalidSetting
from .heads import GenerationHead, Head, ReasoningHead, SpanHead, TagHead
from .rows.collation import collate
from .rows.encoding import Example
from .rows.task import Row, Task
from .runtime.backbone import Backbone
from .runtime.bank import Bank
from .runtime.decoding import generate
from .runtime.reading import prompted, read
from .words.patterns import voted
from .words.reasoning import extracted, reasoned

# [C]; [T, 2] of a span head; [T, C] of a tag head; token ids [U] of a generation head
Output: TypeAlias = NDArray[np.float32] | NDArray[np.int64]

LONGEST_ANSWER = 30  # tokens


@dataclass(frozen=True)
class Classified:
    """The most likely label, and the probability of each."""

    label: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Chosen:
    """The most likely choice, its index, and the probability of each."""

    choice: str
    index: int
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Tagged:
    """A label for every word, and its probability."""

    tags: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Span:
    """A part of the context, its characters [start, end), and its probability among the spans of its window."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Generated:
    """What the language model said, in so many tokens, behind so many; `stopped` says that it ended by itself."""

    text: str
    read: int = field(default=0, compare=False)
    said: int = field(default=0, compare=False)
    stopped: bool = field(default=True, compare=False)


Answer: TypeAlias = Classified | Chosen | Tagged | Span | Generated


@torch.inference_mode()
def predict(backbone: Backbone, items: Sequence[tuple[Artifact, Example]]) -> list[Output]:
    """The head's logits for each item, in order, from one forward; of those that generate, the tokens."""
    artifacts = list({id(artifact): artifact for artifact, _ in items}.values())
    place = {id(artifact): index for index, artifact in enumerate(artifacts)}
    owners = [place[id(artifact)] for artifact, _ in items]
    heads = [_head(artifact) for artifact in artifacts]
    bank = Bank.of([artifact.form for artifact in artifacts])
    outputs: list[Output] = [np.empty(0, np.float32)] * len(items)
    aloud = [index for index, owner in enumerate(owners) if isinstance(heads[owner], GenerationHead)]
    silent = [index for index, owner in enumerate(owners) if not isinstance(heads[owner], GenerationHead)]
    for chosen, answer_them in ((silent, _logits), (aloud, _generated)):
        if chosen:
            examples, of = [items[index][1] for index in chosen], [owners[index] for index in chosen]
            for index, output in zip(chosen, answer_them(backbone, examples, of, bank, heads), strict=True):
                outputs[index] = output
    return outputs


def _head(artifact: Artifact) -> Head:
    if artifact.head is None:
        raise InvalidSetting(f"{artifact.card.name!r} has no head; only a task's own versions give answers")
    return artifact.head


def _logits(
    backbone: Backbone, examples: Sequence[Example], owners: Sequence[int], bank: Bank, heads: Sequence[Head]
) -> list[Output]:
    batch = collate(backbone, examples)
    owner = torch.tensor(owners, device=backbone.device)[batch.group]
    outputs: list[Output] = [np.empty(0, np.float32)] * len(examples)
    for one in read(backbone, batch, bank, owner, heads):
        each = one.logits.float().cpu().numpy()
        places = dict.fromkeys(one.batch.group.tolist())
        for row, place in enumerate(places):
            outputs[place] = _trimmed(heads[one.task], each[row], examples[place], one.batch.attention_mask, row)
    return outputs


def _trimmed(head: Head, logits: NDArray[np.float32], example: Example, mask: Tensor, row: int) -> Output:
    """A row's logits without those of its padding, or of choices that it has not."""
    if isinstance(head, SpanHead | TagHead):
        first = int(mask[row].argmax())
        return logits[first : first + len(example.input_ids)]
    return logits[: len(example.sequences)] if example.others else logits


def _generated(
    backbone: Backbone, examples: Sequence[Example], owners: Sequence[int], bank: Bank, heads: Sequence[Head]
) -> list[Output]:
    def speak(places: Sequence[int], several: Sequence[Example], limit: int) -> list[list[int]]:
        batch, of = (
            collate(backbone, several),
            torch.tensor([owners[place] for place in places], device=backbone.device),
        )
        return generate(backbone, batch, prompted(backbone, batch, bank, of), limit)

    speaking = [head for k in owners if isinstance(head := heads[k], GenerationHead)]
    return [np.array(ids, np.int64) for ids in reasoned(backbone, speaking, examples, speak)]


def answer(
    backbone: Backbone, artifact: Artifact, row: Row, examples: Sequence[Example], outputs: Sequence[Output]
) -> Answer:
    """What the outputs for a row's examples say; windows of a long row are put together, templates vote."""
    task = artifact.card.task
    if task is None:
        raise InvalidSetting(f"{artifact.card.name!r} belongs to no task; only a task's own versions give answers")
    match task.kind:
        case "span-qa":
            return _span(row, examples, outputs)
        case "tagging":
            return _tagged(task, row, examples, outputs)
        case "generation":
            return _generated_answer(backbone, task, _head(artifact), examples[0], outputs[0].tolist())
        case "multiple-choice":
            scores = _softmax(outputs[0].astype(np.float64))
            index = int(scores.argmax())
            return Chosen(row.choices[index], index, tuple(scores.tolist()))
        case "classification" | "pair":
            scores = _softmax(voted(task.text_prompt, outputs))
            return Classified(task.labels[int(scores.argmax())], dict(zip(task.labels, scores.tolist(), strict=True)))


def _generated_answer(backbone: Backbone, task: Task, head: Head, example: Example, said: list[int]) -> Generated:
    limit = head.answer_limit if isinstance(head, ReasoningHead) else getattr(head, "limit", 0)
    text = extracted(task, backbone.tokenizer.decode(said, skip_special_tokens=True))
    return Generated(text, len(example.input_ids), len(said), stopped=len(said) < limit)


def _tagged(task: Task, row: Row, examples: Sequence[Example], outputs: Sequence[Output]) -> Tagged:
    """A word of which the tokenizer leaves nothing gets O, or the first label where the task has no O."""
    nothing = "O" if "O" in task.labels else task.labels[0]
    tags, sure = [nothing] * len(row.tokens), [1.0] * len(row.tokens)
    for example, logits in zip(examples, outputs, strict=True):
        for column, word in enumerate(example.words):
            if word >= 0:
                scores = _softmax(logits[column].astype(np.float64))
                tags[word], sure[word] = task.labels[int(scores.argmax())], float(scores.max())
    return Tagged(tuple(tags), tuple(sure))


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
