"""Rows to token ids: one example per row, or several where a text is longer than the backbone reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidRow
from ..forms import Form, positions_taken
from ..heads.generation import LONGEST
from ..runtime.backbone import Backbone
from .task import Row, Task
from .template import Templated, templated

STRIDE = 128  # tokens that neighbouring windows of a long context share


@dataclass(frozen=True)
class Example:
    """One row as token ids, or one window of a long one; the choices of a multiple-choice row go together."""

    input_ids: list[int]
    token_type_ids: list[int]
    offsets: list[tuple[int, int] | None] = field(default_factory=list)  # span-qa: characters in the context, or none
    label: int = -1
    start: int = -1
    end: int = -1
    infix: int = 0  # token before which the second text begins, or the closing tokens where there is none
    slots: tuple[int, ...] = ()  # tokens before which a template wants its virtual tokens
    masked: int = -1  # the mask token that a verbalizer reads
    words: list[int] = field(default_factory=list)  # tagging: the word that each token begins, -1 inside a word
    tags: list[int] = field(default_factory=list)  # tagging: that word's label, -1 where there is none
    target_ids: list[int] = field(default_factory=list)
    others: tuple["Example", ...] = ()  # multiple choice: the row with each further choice

    @property
    def sequences(self) -> tuple["Example", ...]:
        """What goes through the backbone."""
        return (self, *self.others)

    @property
    def length(self) -> int:
        """Tokens, padded to the longest choice."""
        return len(self.sequences) * max(len(one.input_ids) for one in self.sequences) + len(self.target_ids)


def encode(backbone: Backbone, task: Task, row: Row, form: Form = None) -> list[Example]:
    """Tokenize one row: one example, or several windows where a context or a row of words is longer than what fits.

    Text of other kinds is cut at the backbone's length. A window without the answer has start and end -1. A text
    prompt with several templates gives one example per template. A form that takes positions leaves fewer to the text.

    Raises:
        InvalidRow: an empty text, a missing second text or choice, or a label that the task does not have.
    """
    _check(task, row)
    fits = backbone.max_length - positions_taken(form, backbone.place)
    _check_fit(backbone, task, _room(backbone, task, fits), form)
    label = task.labels.index(row.label) if row.label is not None and row.label in task.labels else -1
    if task.text_prompt is not None:
        target = _target(backbone, row)
        found = [
            templated(backbone, template, task, row, _room(backbone, task, fits))
            for template in task.text_prompt.templates
        ]
        return [_from_template(one, label, target) for one in found]
    match task.kind:
        case "span-qa":
            return _windows(backbone, task, row, fits)
        case "tagging":
            return _word_windows(backbone, task, row, fits)
        case "multiple-choice":
            first, *others = [_plain(backbone, row.text, choice, fits) for choice in row.choices]
            right = row.choices.index(row.label) if row.label is not None else -1
            return [_with(first, label=right, others=tuple(_with(one, label=right) for one in others))]
        case "generation":
            return [
                _with(
                    _plain(backbone, row.text, row.pair, _room(backbone, task, fits)), target_ids=_target(backbone, row)
                )
            ]
        case "classification" | "pair":
            return [_with(_plain(backbone, row.text, row.pair, fits), label=label)]


def _check(task: Task, row: Row) -> None:
    if task.kind == "tagging":
        if not row.tokens or not any(token.strip() for token in row.tokens):
            raise InvalidRow(f"a row of task {task.name!r} has no words")
        if row.tags and (len(row.tags) != len(row.tokens) or set(row.tags) - set(task.labels)):
            raise InvalidRow(f"a row of task {task.name!r} has not one known tag for each of its words")
        return
    if not row.text.strip():
        raise InvalidRow(f"a row of task {task.name!r} has an empty text")
    if task.kind in ("pair", "span-qa") and not (row.pair and row.pair.strip()):
        raise InvalidRow(f"a row of task {task.name!r} ({task.kind}) has no second text")
    if task.kind == "multiple-choice" and (len(row.choices) < 2 or not all(one.strip() for one in row.choices)):
        raise InvalidRow(f"a row of task {task.name!r} needs two choices or more, none of them empty")
    known = row.choices if task.kind == "multiple-choice" else task.labels
    if row.label is not None and task.kind not in ("span-qa", "generation") and row.label not in known:
        raise InvalidRow(f"a row of task {task.name!r} has a label that the task does not know")


def _room(backbone: Backbone, task: Task, fits: int) -> int:
    """Tokens that a text may have; a decoder keeps room for what it generates."""
    speaks = task.kind == "generation" and backbone.architecture == "decoder"
    return fits - (LONGEST if speaks else 0)


def _check_fit(backbone: Backbone, task: Task, room: int, form: Form) -> None:
    """A prompt that takes positions must leave some, to the text and to what a decoder says."""
    if room <= backbone.opens + backbone.closes + 1:
        raise InvalidRow(
            f"the prompt of task {task.name!r} leaves {max(room, 0)} of the backbone's {backbone.max_length} positions"
        )
    said = positions_taken(form, "decoder") + LONGEST
    if task.kind == "generation" and backbone.target_length is not None and said > backbone.target_length:
        raise InvalidRow(
            f"the prompt of task {task.name!r} and {LONGEST} tokens of an answer need {said} of the decoder's"
            f" {backbone.target_length} positions"
        )


def _with(example: Example, **changes: Any) -> Example:
    return Example(**(vars(example) | changes))


def _from_template(made: Templated, label: int, target: list[int]) -> Example:
    types = [0] * len(made.input_ids)
    return Example(
        made.input_ids, types, label=label, infix=made.infix, slots=made.slots, masked=made.masked, target_ids=target
    )


def _plain(backbone: Backbone, text: str, pair: str | None, fits: int) -> Example:
    encoded = backbone.tokenizer(text, pair, truncation=True, max_length=fits)
    ids = encoded["input_ids"]
    parts = encoded.sequence_ids(0)
    infix = parts.index(1) if 1 in parts else len(ids) - backbone.closes
    return Example(ids, encoded.get("token_type_ids") or [0] * len(ids), infix=infix)


def _target(backbone: Backbone, row: Row) -> list[int]:
    """What is to be said, as it follows a text, and the end token."""
    if row.target is None:
        return []
    said = f" {row.target}" if backbone.architecture == "decoder" else row.target
    ids = backbone.tokenizer(said, add_special_tokens=False, truncation=True, max_length=LONGEST - 1)["input_ids"]
    return [*ids, backbone.tokenizer.eos_token_id]


def _windows(backbone: Backbone, task: Task, row: Row, fits: int) -> list[Example]:
    question = len(backbone.tokenizer(row.text)["input_ids"])
    if question > fits // 2:
        raise InvalidRow(f"a row of task {task.name!r} has a question of {question} tokens, over half of what fits")
    encoded = backbone.tokenizer(
        row.text,
        row.pair,
        truncation="only_second",
        max_length=fits,
        stride=min(STRIDE, fits // 4),
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
        infix = parts.index(1) if 1 in parts else len(ids) - backbone.closes
        examples.append(Example(ids, types, offsets, start=start, end=end, infix=infix))
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


def _word_windows(backbone: Backbone, task: Task, row: Row, fits: int) -> list[Example]:
    """Windows of whole words; a single word longer than a window is cut."""
    room = fits - backbone.opens - backbone.closes
    pieces = backbone.tokenizer(list(row.tokens), is_split_into_words=True, add_special_tokens=False)
    owners: Sequence[int] = pieces.word_ids(0)
    by_word: list[list[int]] = [[] for _ in row.tokens]
    for token, word in zip(pieces["input_ids"], owners, strict=True):
        by_word[word].append(token)
    windows: list[list[int]] = [[]]
    used = 0
    for word, ids in enumerate(by_word):
        if windows[-1] and used + len(ids) > room:
            windows.append([])
            used = 0
        windows[-1].append(word)
        used += len(ids)
    return [_tagged(backbone, task, row, [(word, by_word[word][:room]) for word in window]) for window in windows]


def _tagged(backbone: Backbone, task: Task, row: Row, window: Sequence[tuple[int, list[int]]]) -> Example:
    inner = [token for _, ids in window for token in ids]
    ids = backbone.enclosed(inner)
    words = [-1] * len(ids)
    column = backbone.opens
    for word, tokens in window:
        if tokens:
            words[column] = word
        column += len(tokens)
    tags = [task.labels.index(row.tags[word]) if word >= 0 and row.tags else -1 for word in words]
    return Example(ids, [0] * len(ids), infix=len(ids) - backbone.closes, words=words, tags=tags)
