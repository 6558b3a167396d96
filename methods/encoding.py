"""Rows to token ids, and token ids to batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .backbone import Backbone
from .errors import InvalidRow
from .task import Row, Task
from .types import Batch

STRIDE = 128  # tokens that neighbouring windows of a long context share


@dataclass(frozen=True)
class Example:
    """One row as token ids, or one window of a row whose context is long."""

    input_ids: list[int]
    token_type_ids: list[int]
    offsets: list[tuple[int, int] | None]  # of span-qa: characters in the context, none outside it; else empty
    label: int = -1
    start: int = -1
    end: int = -1

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.input_ids)


def encode(backbone: Backbone, task: Task, row: Row) -> list[Example]:
    """Tokenize one row: one example, or several windows where a span-qa context is longer than the backbone reads.

    Text of other kinds is cut at the backbone's length. A window without the answer has start and end -1.

    Raises:
        InvalidRow: an empty text, a missing second text, or a label that the task does not have.
    """
    _check(task, row)
    if task.kind == "span-qa":
        return _windows(backbone, task, row)
    encoded = backbone.tokenizer(row.text, row.pair, truncation=True, max_length=backbone.max_length)
    label = task.labels.index(row.label) if row.label is not None else -1
    types = encoded.get("token_type_ids") or [0] * len(encoded["input_ids"])
    return [Example(encoded["input_ids"], types, [], label)]


def _check(task: Task, row: Row) -> None:
    if not row.text.strip():
        raise InvalidRow(f"a row of task {task.name!r} has an empty text")
    if task.kind != "classification" and not (row.pair and row.pair.strip()):
        raise InvalidRow(f"a row of task {task.name!r} ({task.kind}) has no second text")
    if row.label is not None and task.kind != "span-qa" and row.label not in task.labels:
        raise InvalidRow(f"a row of task {task.name!r} has a label that the task does not know")


def _windows(backbone: Backbone, task: Task, row: Row) -> list[Example]:
    question = len(backbone.tokenizer(row.text)["input_ids"])
    if question > backbone.max_length // 2:
        raise InvalidRow(f"a row of task {task.name!r} has a question of {question} tokens, over half of what fits")
    encoded = backbone.tokenizer(
        row.text,
        row.pair,
        truncation="only_second",
        max_length=backbone.max_length,
        stride=min(STRIDE, backbone.max_length // 4),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    examples = []
    for index, ids in enumerate(encoded["input_ids"]):
        parts = encoded.sequence_ids(index)
        spans = zip(encoded["offset_mapping"][index], parts, strict=True)
        offsets = [tuple(span) if part == 1 else None for span, part in spans]
        types = encoded["token_type_ids"][index] if "token_type_ids" in encoded else [0] * len(ids)
        start, end = _answer_tokens(row, offsets)
        examples.append(Example(ids, types, offsets, start=start, end=end))
    if not any(span for example in examples for span in example.offsets):
        raise InvalidRow(f"a row of task {task.name!r} has a context without a single token")
    return examples


def _answer_tokens(row: Row, offsets: list[tuple[int, int] | None]) -> tuple[int, int]:
    """The first and last token of the first answer; -1, -1 where the window does not hold all of it."""
    if not row.answers or row.answer_start is None:
        return -1, -1
    first, last = row.answer_start, row.answer_start + len(row.answers[0])
    inside = [t for t, span in enumerate(offsets) if span is not None and span[0] < last and span[1] > first]
    if not inside:
        return -1, -1
    covered = [offsets[inside[0]], offsets[inside[-1]]]
    whole = covered[0] is not None and covered[1] is not None and covered[0][0] <= first and covered[1][1] >= last
    return (inside[0], inside[-1]) if whole else (-1, -1)


def collate(backbone: Backbone, examples: Sequence[Example]) -> Batch:
    """Pad examples on the right to the longest of them."""
    longest = max(example.length for example in examples)
    pad = backbone.tokenizer.pad_token_id or 0

    def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])

    return Batch(
        input_ids=padded([e.input_ids for e in examples], pad),
        attention_mask=padded([[1] * e.length for e in examples], 0),
        token_type_ids=padded([e.token_type_ids for e in examples], 0),
        answerable=padded([[int(span is not None) for span in e.offsets] for e in examples], 0).bool(),
        label=torch.tensor([e.label for e in examples]),
        start=torch.tensor([e.start for e in examples]),
        end=torch.tensor([e.end for e in examples]),
    ).to(backbone.device)
