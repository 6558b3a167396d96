"""One record of a file as the row a method trains on, or the reason why it is none."""

from collections.abc import Collection

from methods import Row

from .columns import Fields, Rejected, label, offset, optional_text, present, tags, text, texts, words
from .specs import TaskSpec

__all__ = ["Rejected", "to_row"]


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
        case "tagging":
            return tagged(task, fields, labels)
        case "span-qa":
            return span(task, fields)
        case "multiple-choice":
            return choice(task, fields)
        case "generation":
            return Row(
                text(fields, task.column("text")),
                pair=optional_text(fields, task.column("text_pair")),
                target=text(fields, task.column("target")),
            )


def tagged(task: TaskSpec, fields: Fields, labels: Collection[str] | None) -> Row:
    """Words and a tag for each."""
    tokens = words(fields, task.column("tokens"))
    given = tags(fields, task.column("tags"), labels)
    if len(given) != len(tokens):
        raise Rejected(f"field {task.column('tags')!r} has not one tag for each word of {task.column('tokens')!r}")
    return Row(tokens=tokens, tags=given)


def choice(task: TaskSpec, fields: Fields) -> Row:
    """A text and its choices; the label is the right choice itself, or its place counted from 0."""
    read = text(fields, task.column("text"))
    choices = texts(fields, task.column("choices"), "choices")
    if len(set(choices)) < max(2, len(choices)):
        raise Rejected(f"field {task.column('choices')!r} has not two choices or more, each once")
    return Row(read, choices=choices, label=_chosen(fields, task.column("label"), choices))


def _chosen(fields: Fields, column: str, choices: tuple[str, ...]) -> str:
    value = present(fields, column)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return choices[value]
    if isinstance(value, str) and value in choices:
        return value
    raise Rejected(f"field {column!r} is no choice and no index of one")


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
    if fields.get(several) is None:
        return (text(fields, single),)
    accepted = texts(fields, several, "answers")
    first = [text(fields, single)] if fields.get(single) is not None else []
    return tuple(dict.fromkeys([*first, *accepted]))


def _start(task: TaskSpec, fields: Fields, context: str, answer: str) -> int:
    column = task.column("answer_start")
    if fields.get(column) is None:
        return context.index(answer)
    start = offset(fields[column], column)
    if not context.startswith(answer, start):
        raise Rejected(f"answer not at {column!r} in the context")
    return start
