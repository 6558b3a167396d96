"""The cells of a comparison: methods x settings x tasks x seeds, each setting of those keys that a method has."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import product

from methods import METHODS
from methods.baselines import COMPARED, method

from ..errors import InvalidSpec
from .specs import ALL, JOINT, RUN_KEYS, START, Cell, ComparisonSpec, Value

CONTROL = "head-only"
STARTED = tuple(name for name in METHODS if name != CONTROL)  # methods with a prompt that can begin at another


def cells(spec: ComparisonSpec) -> tuple[Cell, ...]:
    """All cells, those of the first seed first, so that a comparison cut short still compares.

    Raises:
        InvalidSpec: an unknown method, a grid key that no method has, or a start of a method that takes none.
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
    for name in spec.starts:
        _check_start(spec, name)
    for name in spec.methods:
        for setting in _combinations(spec, name):
            method(name, {key: value for key, value in setting.items() if key not in RUN_KEYS})


def _check_start(spec: ComparisonSpec, name: str) -> None:
    if name not in spec.methods:
        raise InvalidSpec(
            f"--from gives {name!r} a start, which is no method of this comparison",
            hint=f"its methods are {', '.join(spec.methods)}",
        )
    if name not in STARTED:
        raise InvalidSpec(f"{name} has no prompt that could start from another", hint=f"{', '.join(STARTED)} have one")


def _settings(spec: ComparisonSpec, name: str) -> Iterator[dict[str, Value]]:
    """Those of the grid, from scratch and then from each start of the method."""
    for start in (None, *spec.starts.get(name, ())):
        for setting in _combinations(spec, name):
            yield setting if start is None else {START: start} | setting


def _combinations(spec: ComparisonSpec, name: str) -> Iterator[dict[str, Value]]:
    """Every combination of the grid's keys that the method has; one without any where it has none."""
    keys = [key for key in spec.grid if key in (*RUN_KEYS, *hyperparameters(name))]
    for values in product(*(spec.grid[key] for key in keys)):
        yield {key: value for key, value in zip(keys, values, strict=True) if (key, value) != ("shots", ALL)}


def _groups(spec: ComparisonSpec, name: str) -> list[tuple[str, ...]]:
    """The tasks of each cell."""
    joint = name in JOINT and not spec.separate
    return [spec.tasks] if joint else [(task,) for task in spec.tasks]
