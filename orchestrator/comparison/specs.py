"""What a comparison is: methods, the settings to try, seeds; and the cells that this makes."""

import math
from typing import Self, TypeAlias, TypeVar

from pydantic import Field, StrictBool, StrictFloat, StrictInt, field_validator, model_validator

from ..job import Job
from ..specs import Spec, word

Value: TypeAlias = StrictBool | StrictInt | StrictFloat | str
Count = TypeVar("Count", int, int | None)

ALIASES = {"lr": "learning_rate"}
RUN_KEYS = ("epochs", "batch_size", "rows", "shots")  # settings of the training, whatever the method
START = "from"  # the setting that says what a cell starts from
ALL = "all"  # the number of shots that is none
JOINT = ("mpt",)  # methods that train all tasks in one cell; every other trains one


class ComparisonSpec(Spec):
    """Everything that a comparison's numbers depend on besides the tasks' rows."""

    tasks: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: int = Field(default=3, ge=1)
    grid: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    starts: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # method -> what it starts from besides scratch
    separate: bool = False  # JOINT methods train one task per cell too
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=16, ge=1)
    rows: int | None = Field(default=None, ge=1)  # training rows per task at the most, the first of the file
    test_rows: int | None = Field(default=None, ge=1)  # judged rows per task at the most, the first of the file
    backbone: str | None = None
    name: str | None = None

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str | None) -> str | None:
        return name if name is None else word(name)

    @field_validator("tasks", "methods")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each once")
        return names

    @field_validator("grid")
    @classmethod
    def _keys_have_one_name(cls, grid: dict[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
        renamed = {
            ALIASES.get(key, key.replace("-", "_")): tuple(dict.fromkeys(values)) for key, values in grid.items()
        }
        if len(renamed) < len(grid):
            raise ValueError("a key twice")
        if any(isinstance(value, float) and not math.isfinite(value) for values in grid.values() for value in values):
            raise ValueError("finite numbers only")
        return renamed

    @model_validator(mode="after")
    def _counts_are_counts(self) -> Self:
        for key in RUN_KEYS:
            counts = [value for value in self.grid.get(key, ()) if (key, value) != ("shots", ALL)]
            if any(type(value) is not int or value < 1 for value in counts):
                more = f", or {ALL}" if key == "shots" else ""
                raise ValueError(f"{key.replace('_', '-')}: a whole number, 1 or more{more}")
        return self


class Cell(Spec):
    """One training: a method under one setting, on one task or jointly on several, from one seed."""

    method: str
    setting: dict[str, Value]
    tasks: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """What tells it from the other cells of its comparison, on one line."""
        return f"{self.method} {written(self.setting)} {','.join(self.tasks)} seed {self.seed}".replace("  ", " ")

    @property
    def hyperparameters(self) -> dict[str, Value]:
        """What of the setting is the method's own."""
        return {key: value for key, value in self.setting.items() if key not in (*RUN_KEYS, START)}

    @property
    def start(self) -> str | None:
        """The pinned versions that it starts from, if not from scratch."""
        value = self.setting.get(START)
        return value if isinstance(value, str) else None

    def run_setting(self, key: str, otherwise: Count) -> int | Count:
        """One of RUN_KEYS, as the setting has it or else as the comparison has it."""
        value = self.setting.get(key)
        return value if isinstance(value, int) else otherwise


class Comparison(Spec):
    """A comparison as its driver planned it: the spec, and the tasks as they were found."""

    id: str
    spec: ComparisonSpec
    job: Job


def written(setting: dict[str, Value]) -> str:
    """A setting on one line, as `--grid` and `--from` take it."""
    short = {long: alias for alias, long in ALIASES.items()}
    return " ".join(f"{short.get(key, key)}={value}" for key, value in setting.items())
