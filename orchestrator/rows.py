"""One record of a file as the row a method trains on, or the reason why it is none."""

from collections.abc import Collection, Mapping

from methods import Row

from .formats import is_unicode
from .specs import TaskSpec

Fields = Mapping[str, object]


class Rejected(ValueError):
    """Why a record is no row: names the column, never what it holds."""


def to_row(task: TaskSpec, fields: Fields | str, labels: Collection[str] | None) -> Row:
    """Read the task's columns; a label outside `labels`, where they are known, is refused."""
    if isinstance(fields, str):
        raise Rejected(fields)
    match task.kind:
        case "classification":
            return Row(text(fields, task.column("text")), label=label(fields, task.column("label"), labels))
        case "pair":
            return Row(
                text(fields, task.column("text")),
                pair=text(fields, task.column("text_pair")),
                label=label(fields, task.column("label"), labels),
            )
        case "span-qa":
            return span(task, fields)


def present(fields: Fields, column: str) -> object:
    """The value of a column, which may not be missing or null."""
    value = fields.get(column)
    if value is None:
        raise Rejected(f"missing field {column!r}")
    return value


def text(fields: Fields, column: str) -> str:
    """A column of text with something in it."""
    return _checked(present(fields, column), column)


def _checked(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise Rejected(f"field {column!r} is not text")
    if not value.strip():
        raise Rejected(f"empty text in field {column!r}")
    if not is_unicode(value):
        raise Rejected(f"field {column!r} is not Unicode text")
    return value


def label(fields: Fields, column: str, labels: Collection[str] | None) -> str:
    """A label as text: integers and booleans are written as JSON writes them."""
    value = present(fields, column)
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int):
        value = str(value)
    value = _checked(value, column)
    if labels is not None and value not in labels:
        raise Rejected(f"unknown label in field {column!r}")
    return value


def span(task: TaskSpec, fields: Fields) -> Row:
    """A question, its context, and an answer that stands in the context."""
    question = text(fields, task.column("question"))
    context = text(fields, task.column("context"))
    answers = accepted_answers(task, fields)
    if answers[0] not in context:
        raise Rejected("answer not in the context")
    return Row(question, pair=context, answers=answers, answer_start=_start(task, fields, context, answers[0]))


def accepted_answers(task: TaskSpec, fields: Fields) -> tuple[str, ...]:
    """The answer, then the other accepted ones; either column may stand alone."""
    single, several = task.column("answer"), task.column("answers")
    others = fields.get(several)
    if others is None:
        return (text(fields, single),)
    if not isinstance(others, list) or not others:
        raise Rejected(f"field {several!r} is not a list of answers")
    accepted = [_checked(other, several) for other in others]
    first = [text(fields, single)] if fields.get(single) is not None else []
    return tuple(dict.fromkeys([*first, *accepted]))


def _start(task: TaskSpec, fields: Fields, context: str, answer: str) -> int:
    column = task.column("answer_start")
    value = fields.get(column)
    if value is None:
        return context.index(answer)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Rejected(f"field {column!r} is not a character offset")
    if not context.startswith(answer, value):
        raise Rejected(f"answer not at {column!r} in the context")
    return value
