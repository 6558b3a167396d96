"""Prompts in words: the template around a row's text, the words that stand for labels, and what goes in front of both.

A demonstration is the prompt's own words: its author writes it into the prompt's file. It is never a row of a data set,
because a card is read by everybody and rows are kept nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter, with_config

Shots: TypeAlias = Literal["few-shot", "zero-shot"]
Extract: TypeAlias = Literal["number", "label", "text"]

_STRICT = with_config(ConfigDict(extra="forbid"))


@_STRICT
@dataclass(frozen=True)
class Demonstration:
    """An example of the author's own: a text, its answer (a label, where the task has them), and why it is that."""

    text: str
    answer: str
    pair: str | None = None
    rationale: str = ""


@_STRICT
@dataclass(frozen=True)
class Reasoning:
    """How the language model is brought to think before it answers.

    `few-shot`: the demonstrations do (Wei et al., 2022). `zero-shot`: `trigger` does, and `answer_trigger`, put behind
    what it thought, then asks for the answer (Kojima et al., 2022). The answer is the first number, or the first of
    the task's labels, or the rest of the line, behind `answer_trigger`.
    """

    shots: Shots
    answer_trigger: str
    trigger: str = ""
    extract: Extract = "text"
    limit: int = 128  # tokens of thought


@_STRICT
@dataclass(frozen=True)
class TextPrompt:
    """A template with slots `{text}`, `{pair}`, `{mask}` and `{prompt:N}`, and a verbalizer: the words of each label.

    Several templates are patterns that vote, each with its weight (Schick and Schütze, 2021, section 3.3). The
    demonstrations come in the order that the seed draws, or as they are written.
    """

    templates: tuple[str, ...]
    verbalizer: tuple[tuple[str, ...], ...] = ()  # in the order of the task's labels
    weights: tuple[float, ...] = ()  # of the templates; none: all alike
    instruction: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    seed: int | None = None
    reasoning: Reasoning | None = None
    limit: int = 32  # tokens of a generated answer

    def to_json(self) -> dict[str, object]:
        """Plain values for a card, without those that are as usual."""
        return _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TextPrompt":
        """The inverse of `to_json`; pydantic's ValidationError for a field that is missing, unknown or wrong."""
        return _ADAPTER.validate_python(value)


_ADAPTER = TypeAdapter(TextPrompt)
