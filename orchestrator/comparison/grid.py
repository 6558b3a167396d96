"""The cells of a comparison: methods x settings x tasks x seeds, each setting of those keys that a method has."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import product

from methods.baselines import COMPARED, method

from ..errors import InvalidSpec
from .specs import JOINT, RUN_KEYS, Cell, ComparisonSpec, Value

CONTROL = "head-only"


def cells(spec: ComparisonSpec) -> tuple[Cell, ...]:
    """All cells, those of the first seed first, so that a comparison cut short still compares.

    Raises:
        InvalidSpec: an unknown method, or a grid key that no method has.
        InvalidSetting: a value that a method does not take.
    """
    _check(spec)
    return tuple(
        Cell(method=name, setting=setting, tasks=tasks, seed=seed)
        for seed in range(spec.seeds)
        for name in spec.methods
        for setting in _settings(spec, name)
        for tasks in _groups(spec, name)
    )


def hyperparameters(name: str) -> tuple[str, ...]:
    """What can be set of a method."""
    return tuple(field.name for field in fields(COMPARED[name]))


def _check(spec: ComparisonSpec) -> None:
    if unknown := [name for name in spec.methods if name not in COMPARED]:
        raise InvalidSpec(f"unknown method {unknown[0]!r}; known methods: {', '.join(sorted(COMPARED))}")
    known = dict.fromkeys([*RUN_KEYS, *(key for name in spec.methods for key in hyperparameters(name))])
    if strangers := [key for key in spec.grid if key not in known]:
        names = ", ".join(["lr", *known] if "learning_rate" in known else known)
        raise InvalidSpec(f"no method of this comparison has {strangers[0]!r}; known: {names}")
    for name in spec.methods:
        for setting in _settings(spec, name):
            method(name, {key: value for key, value in setting.items() if key not in RUN_KEYS})


def _settings(spec: ComparisonSpec, name: str) -> Iterator[dict[str, Value]]:
    """Every combination of the grid's keys that the method has; one without any where it has none."""
    keys = [key for key in spec.grid if key in (*RUN_KEYS, *hyperparameters(name))]
    for values in product(*(spec.grid[key] for key in keys)):
        yield dict(zip(keys, values, strict=True))


def _groups(spec: ComparisonSpec, name: str) -> list[tuple[str, ...]]:
    """The tasks of each cell."""
    return [spec.tasks] if name in JOINT else [(task,) for task in spec.tasks]
