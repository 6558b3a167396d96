"""What a task asks of a row, and the rows themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from ..errors import InvalidSetting
from .text_prompt import TextPrompt

Kind = Literal["classification", "pair", "tagging", "span-qa", "multiple-choice", "generation"]
KINDS: tuple[str, ...] = get_args(Kind)
LABELLED = ("classification", "pair", "tagging")  # kinds that choose from the task's own labels


@dataclass(frozen=True)
class Task:
    """One task: its kind decides the head, its labels the head's size; a text prompt, where it has one, its wording."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    text_prompt: TextPrompt | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidSetting(f"task {self.name!r} has the unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        if self.kind in LABELLED and len(self.labels) < 2:
            raise InvalidSetting(f"task {self.name!r} has {len(self.labels)} label(s); a {self.kind} task needs two")

    def to_json(self) -> dict[str, object]:
        """Plain values for a card."""
        wording: dict[str, object] = {"text_prompt": self.text_prompt.to_json()} if self.text_prompt else {}
        return {"name": self.name, "kind": self.kind, "labels": list(self.labels)} | wording

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Task":
        """The inverse of `to_json`."""
        wording = value.get("text_prompt")
        return cls(
            str(value["name"]),
            cast(Kind, value["kind"]),
            tuple(value["labels"]),
            TextPrompt.from_json(wording) if wording else None,
        )


@dataclass(frozen=True)
class Row:
    """One row of a task.

    In span-qa `text` is the question and `pair` the context; a tagging row has `tokens` and a tag for each; a
    multiple-choice row has `choices`, and its label is the right one of them; what is to be generated is `target`.
    """

    text: str = ""
    pair: str | None = None
    label: str | None = None
    answers: tuple[str, ...] = ()
    answer_start: int | None = None
    tokens: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    target: str | None = None
