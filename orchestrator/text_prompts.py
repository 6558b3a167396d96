"""A prompt in words as its author writes it down: one TOML file, and the task that it words."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from methods import Kind, Task
from methods.rows.text_prompt import Demonstration, Extract, Reasoning, Shots, TextPrompt
from registry import Registry

from .documents import document
from .errors import InvalidSpec
from .sources import read
from .specs import Spec, parse, word
from .tasks import find
from .wording import Wording

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OF_REASONING = ("trigger", "answer_trigger", "extract", "reasoning_limit")  # keys that mean nothing without it


class DemonstrationSpec(Spec):
    """An example that the author made up: a text and its label or target. No row of a data set belongs here."""

    text: str = Field(min_length=1)
    pair: str | None = Field(default=None, min_length=1)
    label: str | None = None
    target: str | None = None
    rationale: str = ""

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if (self.label is None) == (self.target is None):
            raise ValueError("label or target, one of them")
        return self

    def demonstration(self) -> Demonstration:
        """What the prompt shows."""
        return Demonstration(self.text, self.label or self.target or "", self.pair, self.rationale)


class TextPromptSpec(Wording):
    """The file: the prompt's name, its task by name or by kind and labels, and all of its words."""

    name: str
    task: str | None = None
    kind: Kind | None = None
    labels: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    instruction: str = ""
    demonstrations: tuple[DemonstrationSpec, ...] = ()
    seed: int | None = None
    limit: PositiveInt = 32
    reasoning: Shots | None = None
    trigger: str | None = None
    answer_trigger: str | None = None
    extract: Extract = "text"
    reasoning_limit: PositiveInt = 128

    _name_is_a_word = field_validator("name")(word)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if (self.task is None) == (self.kind is None):
            raise ValueError("task or kind, one of them")
        if self.task is not None and self.labels and self.extract != "label":
            raise ValueError("labels: a task that is named has its own")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: each once")
        if self.reasoning is None and (idle := sorted(self.model_fields_set & {*OF_REASONING})):
            raise ValueError(f"{idle[0]}: only with reasoning")
        return self

    def text_prompt(self, labels: tuple[str, ...]) -> TextPrompt:
        """The words; a ValueError where the verbalizer is not one of these labels."""
        return TextPrompt(
            self.templates,
            self.words(labels),
            self.weights,
            self.instruction,
            tuple(one.demonstration() for one in self.demonstrations),
            self.seed,
            self._reasoning(),
            self.limit,
        )

    def _reasoning(self) -> Reasoning | None:
        match self.reasoning:
            case "zero-shot":
                trigger = self.trigger or "Let's think step by step."
                behind = self.answer_trigger or "Therefore, the answer is"
                return Reasoning("zero-shot", behind, trigger, self.extract, self.reasoning_limit)
            case "few-shot":
                behind = self.answer_trigger or "The answer is"
                return Reasoning("few-shot", behind, self.trigger or "", self.extract, self.reasoning_limit)
            case None:
                return None


def load(file: Path) -> TextPromptSpec:
    """Read a prompt's file.

    Raises:
        SourceNotFound: there is none.
        InvalidSpec: naming the file and the field.
    """
    return parse(TextPromptSpec, document(file), str(file))


def worded_task(registry: Registry, spec: TextPromptSpec, file: Path) -> Task:
    """The task of a prompt's file, in its words; a task that does not name its labels has those of its training rows.

    Raises:
        UnknownTask: the file names a task that there is not.
        InvalidSpec: its labels and those of the verbalizer differ.
    """
    name, kind, labels = spec.name, spec.kind, spec.labels or tuple(spec.verbalizer)
    if spec.task is not None:
        known = find(registry, spec.task)
        name, kind = known.name, known.kind
        labels = spec.labels or known.labels or read(known, "train").labels
    try:
        return Task(name, kind or "classification", labels, spec.text_prompt(labels))
    except ValueError as error:  # a methods.InvalidSetting too
        raise InvalidSpec(f"{file}: {str(error).removeprefix('text_prompt: ')}") from error
