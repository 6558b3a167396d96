"""How much of an answer is settled while the language model still speaks."""

from typing import TYPE_CHECKING

from .reasoning import extracted

if TYPE_CHECKING:
    from ..rows.task import Task

HELD = 16  # characters at the end that tokenizers may still change when they join and clean up words
INCOMPLETE = "\ufffd"  # what half a character is decoded to


def settled(task: "Task", said: str) -> str:
    """The beginning of the answer that no further words change; nothing of one that is found only at the end.

    The last word is held back, because it may go on or be joined to the next one, and so is whatever may turn out to be
    the rest of the template behind the answer.
    """
    prompt = task.text_prompt
    if prompt is not None and prompt.reasoning is not None:
        return ""
    answer = extracted(task, said)
    rest = prompt.templates[0].partition("{mask}")[2].strip() if prompt is not None else ""
    known = answer.split(INCOMPLETE)[0]
    known = known[: len(known) - _begun(known, rest)]
    spaces = [place for place, character in enumerate(known) if character.isspace()]
    return known[: max([*spaces[-1:], len(known) - HELD, 0])].rstrip()


def _begun(said: str, rest: str) -> int:
    """How many characters at the end of what was said may be the beginning of the rest."""
    return next((size for size in range(min(len(rest), len(said)), 0, -1) if said.endswith(rest[:size])), 0)
