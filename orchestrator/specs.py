"""What a task and a run are, as they cross the wire."""

import re
from collections.abc import Mapping
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import InvalidSpec
from .locations import copies_to_disk, suffix
from .wording import Wording

Kind = Literal["classification", "pair", "tagging", "span-qa", "multiple-choice", "generation"]
Split = Literal["train", "validation", "test"]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
FORMATS = ("jsonl", "ndjson", "csv", "parquet")
ROLES: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "pair": ("text", "text_pair", "label"),
    "tagging": ("tokens", "tags"),
    "span-qa": ("question", "context", "answer", "answer_start", "answers"),
    "multiple-choice": ("text", "choices", "label"),
    "generation": ("text", "text_pair", "target"),
}
LABELLED: tuple[Kind, ...] = ("classification", "pair", "tagging")  # kinds with labels of their own


class Spec(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Parsed = TypeVar("Parsed", bound=BaseModel)


def parse(model: type[Parsed], values: Mapping[str, object], where: str) -> Parsed:
    """Validate `values`; the error names the fields and never repeats their values."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidSpec(f"{where}: {faults(error)}") from None


def faults(error: ValidationError) -> str:
    """What is wrong with which field."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or error.title}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_input=False, include_url=False)
    )


def word(name: str) -> str:
    """A name as the registry takes it; found wrong before a run, not after it."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is 1 to 63 of a-z 0-9 . _ - and starts with a letter or digit")
    return name


class TaskSpec(Spec):
    """A task: its kind, where its rows are, which column plays which role, and how it is worded."""

    name: str
    kind: Kind
    train: str
    validation: str
    test: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    text_prompt: Wording | None = None

    _name_is_a_word = field_validator("name")(word)

    @field_validator("train", "validation", "test")
    @classmethod
    def _file_can_be_read(cls, file: str | None) -> str | None:
        if file is None:
            return None
        if copies_to_disk(file):
            raise ValueError("a caching URL would copy the rows to disk; name the source itself")
        if suffix(file) not in FORMATS:
            raise ValueError(f"unknown format; a source ends in one of .{', .'.join(FORMATS)}")
        return file

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if strangers := sorted(set(self.fields) - set(ROLES[self.kind])):
            known = ", ".join(ROLES[self.kind])
            raise ValueError(f"fields: unknown role {', '.join(strangers)}; {self.kind} has {known}")
        if self.labels is not None and self.kind not in LABELLED:
            raise ValueError(f"labels: a {self.kind} task has none")
        if self.labels is not None and len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError("labels: at least two, each once")
        if self.text_prompt is not None:
            self.text_prompt.check(self.kind)
            if self.labels is not None:
                self.text_prompt.words(self.labels)
        return self

    def column(self, role: str) -> str:
        """The column that plays `role`: the role's own name unless `fields` says otherwise."""
        return self.fields.get(role, role)


class RunSpec(Spec):
    """Everything a run depends on besides the tasks' rows and the settings of the place it runs in."""

    tasks: tuple[str, ...] = Field(min_length=1)
    method: str = "mpt"
    hyperparameters: dict[str, int | float | str | bool] = Field(default_factory=dict)
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    shots: int | None = Field(default=None, ge=1)  # training rows per label; per task where rows have no label
    workers: int = Field(default=1, ge=0)
    backbone: str | None = None
    start: str | None = None  # what --from names
    teachers: str | None = None  # what --teachers names
    gradient_checkpointing: bool = False
    cache_activations: bool = False
    dp_epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # the privacy budget of the whole run
    dp_delta: float | None = Field(default=None, gt=0, lt=1)
    name: str | None = None  # of the shared prompt

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str | None) -> str | None:
        return name if name is None else word(name)

    @field_validator("teachers")
    @classmethod
    def _teachers_weigh_the_same(cls, teachers: str | None) -> str | None:
        if teachers and "*" in teachers:
            raise ValueError("each teaches its own task, so none has a weight")
        return teachers

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) < len(tasks):
            raise ValueError("each task once")
        return tasks

    @model_validator(mode="after")
    def _privacy_can_be_kept(self) -> Self:
        if (self.dp_epsilon is None) != (self.dp_delta is None):
            raise ValueError("dp_epsilon and dp_delta go together")
        if self.dp_epsilon is None:
            return self
        if self.workers > 1:
            raise ValueError("dp_epsilon: one process draws the rows and the noise; give workers 1 or 0")
        if self.teachers or self.shots or self.cache_activations:
            raise ValueError("dp_epsilon goes with no teachers and no shots, which depend on all rows, and no cache")
        return self
