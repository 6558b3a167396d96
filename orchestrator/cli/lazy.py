"""Commands that import themselves when they run, under a group that turns errors into exit codes."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import click

FORMAT = "output format"  # where the -o of the command that runs is kept in the context's meta


class Lazy(click.Command):
    """Stands for a command of `orchestrator/cli/NAME.py` until it is invoked or completed."""

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(name, short_help=summary)

    def load(self) -> click.Command:
        """The command itself: the module's object of the same name."""
        module = import_module(f".{self.name}", __package__)
        return cast(click.Command, getattr(module, self.name or ""))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Load, compare the configuration with the options there are, and hand over."""
        command = self.load()
        if parent is not None and parent.default_map:
            check(command, parent.default_map.get(self.name or "", {}), f"[{self.name}]")
        return command.make_context(info_name, args, parent, **extra)


def check(command: click.Command, defaults: object, where: str) -> None:
    """Refuse a configured option that the command does not have."""
    commands = command.commands if isinstance(command, click.Group) else {}
    known = [*commands, *(p.name for p in command.params if p.name)]
    if not isinstance(defaults, Mapping):
        raise click.UsageError(f"{where} in the configuration is not a table of options")
    for key, value in defaults.items():
        if key not in known:
            raise click.UsageError(f"{where} in the configuration has no option {key!r}; known: {', '.join(known)}")
        if key in commands:
            check(commands[key], value, f"{where[:-1]}.{key}]")


class Root(click.Group):
    """Commands in the order they are used; every failure is one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the day, not of the alphabet."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look ahead for `-o`: a command line that cannot be parsed also fails in the format asked for."""
        ctx.meta[FORMAT] = _asked(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; report what it raises."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where failures end
            from . import failures

            exit_code = failures.report(error, as_json=ctx.meta[FORMAT] in ("json", "jsonl"))
        ctx.exit(exit_code)


def _asked(args: list[str]) -> str:
    asked = re.search(r"(?<!\S)(?:-o|--output)[ =]?(\w+)", " ".join(args))
    return asked[1] if asked else ""
