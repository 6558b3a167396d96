"""Options that many commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .lazy import FORMAT

FORMATS = ("table", "json", "jsonl", "yaml", "name")
Function = TypeVar("Function", bound=Callable[..., Any])


def remember(ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Keep the format where a failure finds it."""
    ctx.meta[FORMAT] = value
    return value


def output_option(function: Function) -> Function:
    """Add `-o`; eager, so that a failure already knows the format."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        is_eager=True,
        callback=remember,
        help="How to print the result.",
    )(function)


def dry_run_option(function: Function) -> Function:
    """Add `--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")(function)


def say_dry_run(dry_run: bool) -> None:
    """Remind the person that this was a plan."""
    if dry_run:
        click.echo("dry run: nothing was written", err=True)
