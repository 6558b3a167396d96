"""Which fields of an input each kind of task reads."""

from collections.abc import Mapping

from methods import Row, Task

from .errors import Invalid
from .schemas import Input

FIELDS: Mapping[str, tuple[str, ...]] = {
    "classification": ("text",),
    "pair": ("text", "text_pair"),
    "span-qa": ("question", "context"),
}
_ALL = ("text", "text_pair", "question", "context")


def row(task: Task, given: Input) -> Row:
    """The input as a row of the task.

    Raises:
        Invalid: it lacks a field that the task needs, or has one that the task does not read.
    """
    needed = FIELDS[task.kind]
    present = tuple(name for name in _ALL if getattr(given, name) is not None)
    if present != needed:
        raise Invalid(
            f"prompt {given.prompt!r} answers {task.kind} rows, which have {' and '.join(needed)};"
            f" this one has {' and '.join(present) or 'none of them'}"
        )
    return Row(*(getattr(given, name) for name in needed))
