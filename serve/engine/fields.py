"""Which fields of an input each kind of task reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from methods import Row, Task

from ..errors import Invalid
from ..schemas import Input


@dataclass(frozen=True)
class Fields:
    """What a row must have, and what it may have."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def fit(self, present: tuple[str, ...]) -> bool:
        """Whether a row with these fields can be read."""
        return {*self.needed} <= {*present} <= {*self.needed, *self.optional}

    def __str__(self) -> str:
        return " and ".join(self.needed) + "".join(f", perhaps {name}" for name in self.optional)


FIELDS: Mapping[str, Fields] = {
    "classification": Fields(("text",)),
    "pair": Fields(("text", "text_pair")),
    "tagging": Fields(("tokens",)),
    "span-qa": Fields(("question", "context")),
    "multiple-choice": Fields(("text", "choices")),
    "generation": Fields(("text",), ("text_pair",)),
}
# Which part of a row each field is; the input's other field is the prompt.
PARTS: Mapping[str, str] = {
    "text": "text",
    "text_pair": "pair",
    "question": "text",
    "context": "pair",
    "tokens": "tokens",
    "choices": "choices",
}


def row(task: Task, given: Input) -> Row:
    """The input as a row of the task.

    Raises:
        Invalid: it lacks a field that the task needs, or has one that the task does not read.
    """
    fields = FIELDS[task.kind]
    present = tuple(name for name in PARTS if getattr(given, name) is not None)
    if not fields.fit(present):
        raise Invalid(
            f"prompt {given.prompt!r} answers {task.kind} rows, which have {fields};"
            f" this one has {' and '.join(present) or 'none of them'}"
        )
    return Row(**{PARTS[name]: getattr(given, name) for name in present})


def first_row(task: Task) -> Row:
    """A row of words that say nothing, to try a version with."""
    fillers = {"tokens": ("warm",), "choices": ("warm", "cold")}
    return Row(**{PARTS[name]: fillers.get(name, "warm") for name in FIELDS[task.kind].needed})
