"""What a task asks of a row, and the rows themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from .errors import InvalidSetting

Kind = Literal["classification", "pair", "span-qa"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Task:
    """One task: its kind decides the head, its labels the head's size (none for span-qa)."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidSetting(f"task {self.name!r} has the unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        if self.kind != "span-qa" and len(self.labels) < 2:
            raise InvalidSetting(f"task {self.name!r} has {len(self.labels)} label(s); a {self.kind} task needs two")

    def to_json(self) -> dict[str, object]:
        """Plain values for a card."""
        return {"name": self.name, "kind": self.kind, "labels": list(self.labels)}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "Task":
        """The inverse of `to_json`."""
        labels = cast(list[str], value["labels"])
        return cls(str(value["name"]), cast(Kind, value["kind"]), tuple(labels))


@dataclass(frozen=True)
class Row:
    """One row of a task. In span-qa `text` is the question and `pair` the context."""

    text: str
    pair: str | None = None
    label: str | None = None
    answers: tuple[str, ...] = ()
    answer_start: int | None = None
