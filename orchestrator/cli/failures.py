"""An error as one red line, its hint, and an exit code a script can act on."""

import json
import os
import traceback
from pathlib import Path
from typing import NamedTuple

import click

EXIT_CODES = {
    "invalid": 2,
    "not_found": 3,
    "auth": 4,
    "conflict": 5,
    "refused": 6,
    "unavailable": 7,
    "overloaded": 7,
    "timed_out": 7,
    "integrity": 8,
    "run_failed": 9,
}
RETRYABLE = {"conflict", "unavailable", "overloaded"}


class Failure(NamedTuple):
    """What to tell the person, and the script."""

    code: str
    message: str
    hint: str
    exit_code: int


def report(error: BaseException, *, as_json: bool) -> int:
    """Write an error to stderr; the exit code to leave with."""
    failure = explain(error)
    if failure.exit_code == 1 and os.environ.get("PROMPTCTL_DEBUG") == "1":
        traceback.print_exception(error)
    if as_json:
        click.echo(json.dumps(as_object(failure), ensure_ascii=False), err=True)
        return failure.exit_code
    click.secho(f"error: {failure.message}", fg="red", err=True)
    for line in failure.hint.splitlines():
        click.echo(f"  {line}", err=True)
    return failure.exit_code


def as_object(failure: Failure) -> dict[str, object]:
    """The JSON form, the same that the server answers with."""
    return {
        "error": {
            "code": failure.code,
            "message": failure.message,
            "hint": failure.hint,
            "retryable": failure.code in RETRYABLE,
        }
    }


def explain(error: BaseException) -> Failure:
    """Our own errors say their code; click's are usage; the rest is unexpected and quotes no value."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in EXIT_CODES:
        return Failure(code, str(error), getattr(error, "hint", ""), EXIT_CODES[code])
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure("interrupted", "interrupted", "", 130)
    if isinstance(error, click.ClickException):
        path = getattr(getattr(error, "ctx", None), "command_path", "promptctl")
        return Failure("invalid", error.format_message(), f"see: {path} --help", 2)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return Failure("unexpected", f"{error.strerror}{where} ({type(error).__name__})", _debug(), 1)
    return Failure("unexpected", f"unexpected {type(error).__name__} in {_place(error)}", _debug(), 1)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "promptctl"


def _debug() -> str:
    return "PROMPTCTL_DEBUG=1 shows the traceback"
