"""Tasks by name: those people add from TOML files, and two that come with the package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from registry import Registry
from registry.errors import Conflict, NotFound

from .documents import document
from .errors import InvalidSpec, SourceNotFound, UnknownTask
from .locations import absolute, is_url
from .specs import Split, TaskSpec, parse

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Change:
    """What adding or applying a task does to the registry."""

    task: str
    action: Literal["added", "changed", "unchanged"]


def load(file: Path) -> tuple[TaskSpec, ...]:
    """The `[tasks.NAME]` tables of a TOML file; its relative paths are relative to the file."""
    found = document(file)
    tables = found.pop("tasks", None)
    if found or not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InvalidSpec(f"{file} must hold [tasks.NAME] tables and nothing else")
    folder = file.absolute().parent
    return tuple(build(name, table, folder, f"{file}: task {name!r}") for name, table in tables.items())


def build(name: str, values: Mapping[str, object], folder: Path, where: str) -> TaskSpec:
    """One task, its files seen from `folder`."""
    for split in SPLITS:
        match values.get(split):
            case str(file):
                values = {**values, split: absolute(file, folder)}
    return parse(TaskSpec, {"name": name, **values}, where)


def builtin() -> dict[str, TaskSpec]:
    """The demo tasks of the package."""
    return {task.name: task for task in load(Path(str(files("orchestrator") / "demo" / "tasks.toml")))}


def find(registry: Registry, name: str) -> TaskSpec:
    """A task by name: the registry's, else a built-in one."""
    try:
        return parse(TaskSpec, registry.task(name).spec, f"task {name!r}")
    except NotFound:
        demos = builtin()
    if name in demos:
        return demos[name]
    raise UnknownTask(
        f"unknown task {name!r}; known tasks: {', '.join(known(registry))}",
        hint="promptctl task add NAME --train FILE --validation FILE",
    )


def known(registry: Registry) -> dict[str, TaskSpec]:
    """Every task there is, by name; the registry's hide built-in ones of the same name."""
    added = {record.name: parse(TaskSpec, record.spec, f"task {record.name!r}") for record in registry.tasks()}
    return dict(sorted((builtin() | added).items()))


def put(
    registry: Registry, tasks: Sequence[TaskSpec], *, actor: str, replace: bool, dry_run: bool = False
) -> list[Change]:
    """Keep tasks in the registry; `replace` allows a known name to take a new spec."""
    changes = [Change(task.name, _action(registry, task)) for task in tasks]
    for task, change in zip(tasks, changes, strict=True):
        _check_files(task)
        if not replace and change.action == "changed":
            raise Conflict(
                f"task {task.name!r} exists with another spec", hint="promptctl task apply FILE.toml changes it"
            )
    for task, change in zip(tasks, changes, strict=True):
        if not dry_run and change.action != "unchanged":
            registry.put_task(task.name, task.model_dump(mode="json"), actor=actor, replace=replace)
    return changes


def _action(registry: Registry, task: TaskSpec) -> Literal["added", "changed", "unchanged"]:
    try:
        spec = registry.task(task.name).spec
    except NotFound:
        return "added"
    return "unchanged" if parse(TaskSpec, spec, f"task {task.name!r}") == task else "changed"


def _check_files(task: TaskSpec) -> None:
    for split in SPLITS:
        file = getattr(task, split)
        if file is not None and not is_url(file) and not Path(file).is_file():
            raise SourceNotFound(f"task {task.name!r}: no such {split} file: {file}")
