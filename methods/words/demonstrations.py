"""Examples in front of a row: Brown et al. (2020), section 2; with rationales, Wei et al. (2022), section 2.

Each is the template filled with its own text and answer, and a blank line divides them. Texts among demonstrations are
put on one line, so that no row can pass for one of them.
"""

import random
from typing import TYPE_CHECKING

from ..rows.slots import filled
from ..rows.text_prompt import Demonstration, TextPrompt

if TYPE_CHECKING:
    from ..rows.task import Row, Task

DIVIDER = "\n\n"


def ordered(prompt: TextPrompt) -> tuple[Demonstration, ...]:
    """The demonstrations in the order that the seed draws; without a seed, as they are written."""
    if prompt.seed is None:
        return prompt.demonstrations
    draw = random.Random(prompt.seed).random  # what Python promises never to change, unlike shuffle
    return tuple(sorted(prompt.demonstrations, key=lambda _: draw()))


def shown(prompt: TextPrompt, task: "Task", template: str, row: "Row") -> list[str]:
    """The demonstrations in words, in their order, without one that is the row itself."""
    asked = one_line(row.text), one_line(row.pair or "")
    found = []
    for one in ordered(prompt):
        values = {"text": one_line(one.text), "pair": one_line(one.pair or "")}
        if tuple(values.values()) != asked:
            found.append(filled(template, values, _answer(prompt, task, one)))
    return found


def _answer(prompt: TextPrompt, task: "Task", one: Demonstration) -> str:
    """What a demonstration says where the row's own answer is asked for."""
    said = prompt.verbalizer[task.labels.index(one.answer)][0] if prompt.verbalizer else one.answer
    if prompt.reasoning is None:
        return one_line(said)
    return one_line(f"{one.rationale} {prompt.reasoning.answer_trigger} {said}.")


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
