"""What the model reads of one row through a version; the row is kept nowhere."""

from dataclasses import dataclass

from methods import Row, Task
from methods.words.rendering import rendered as in_words

from .answering import Ready
from .errors import InvalidSpec


@dataclass(frozen=True)
class Reading:
    """What one pattern makes of a row, and what is put behind the model's thoughts where it is asked twice."""

    pattern: int
    reads: str
    template: str = ""
    then: str = ""


def rendered(version: Ready, text: str, pair: str | None) -> list[Reading]:
    """One reading per pattern; of a version without a template, per window of a long row.

    Raises:
        InvalidRow: the version's task cannot read the row.
        InvalidSpec: a multiple-choice row is more than two texts.
    """
    prompt = version.task.text_prompt
    texts = in_words(version.backbone, version.artifact, _row(version.task, text, pair))
    templates = prompt.templates if prompt is not None else ("",) * len(texts)
    reasoning = prompt.reasoning if prompt is not None else None
    then = f"\n{reasoning.answer_trigger}" if reasoning is not None and reasoning.shots == "zero-shot" else ""
    both = zip(texts, templates, strict=True)
    return [Reading(number, reads, template, then) for number, (reads, template) in enumerate(both, 1)]


def _row(task: Task, text: str, pair: str | None) -> Row:
    match task.kind:
        case "tagging":
            return Row(tokens=tuple(text.split()))
        case "multiple-choice":
            raise InvalidSpec(f"{task.name!r} is multiple-choice, whose rows are not a text and its pair")
        case "classification" | "pair" | "span-qa" | "generation":
            return Row(text, pair)
