"""What the shell completes: tasks, prompts, their versions and aliases, runs."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from registry import Registry

NEWEST = 100  # versions of a prompt


def prompts(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of prompts."""
    return _found(lambda registry: (prompt.name for prompt in registry.prompts()), incomplete)


def references(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of prompts; after a `:` the versions of one, after an `@` its aliases."""
    name = re.split("[:@]", incomplete)[0]
    match incomplete[len(name) : len(name) + 1]:
        case ":":
            return _found(lambda registry: (v.reference for v in registry.versions(name, limit=NEWEST)), incomplete)
        case "@":
            return _found(lambda registry: _aliases(registry, name), incomplete)
        case _:
            return prompts(_ctx, _parameter, incomplete)


def tasks(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of tasks, each the last of a list with commas."""
    from ..tasks import known

    before = incomplete[: incomplete.rfind(",") + 1]
    taken = before.split(",")
    return _found(
        lambda registry: (f"{before}{name}" for name in sorted(known(registry)) if name not in taken), incomplete
    )


def runs(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of runs."""
    return _found(lambda registry: (run.id for run in registry.runs()), incomplete)


def _aliases(registry: "Registry", name: str) -> list[str]:
    return [f"{name}@{alias}" for prompt in registry.prompts() if prompt.name == name for alias in prompt.aliases]


def _found(ask: Callable[["Registry"], Iterable[str]], incomplete: str) -> list[str]:
    from registry import RegistryError

    from ..access import opened
    from ..settings import Settings

    try:
        with opened(Settings(), dry_run=True) as registry:
            return [name for name in ask(registry) if name.startswith(incomplete)]
    except RegistryError:  # a shell has no place for an error; the command itself will say it
        return []
