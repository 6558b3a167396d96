"""How a version is named: `sentiment`, `sentiment@staging`, `sentiment:7`, `sentiment@sha256:ab12cd34`."""

import re
from dataclasses import dataclass

from .errors import Invalid

PRODUCTION = "production"
NONE = "none"  # the backbone without a prompt, where a server answers for it; no prompt has this name

_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
_PROMPT = rf"(?:shared/)?{_NAME}"
_REFERENCE = re.compile(
    rf"(?P<prompt>{_PROMPT})"
    rf"(?:@sha256:(?P<digest>[0-9a-f]{{8,64}})|@(?P<alias>{_NAME})|:(?P<number>[1-9][0-9]{{0,17}}))?"
)


@dataclass(frozen=True)
class ByAlias:
    """The version an alias names now."""

    prompt: str
    alias: str


@dataclass(frozen=True)
class ByNumber:
    """One version, for good."""

    prompt: str
    number: int


@dataclass(frozen=True)
class ByDigest:
    """The version whose digest starts like this."""

    prompt: str
    start: str


Reference = ByAlias | ByNumber | ByDigest


def parse(text: str) -> Reference:
    """Read a reference; a bare name means its production version."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise Invalid(
            f"{text!r} is not a reference",
            hint="write NAME, NAME@ALIAS, NAME:NUMBER or NAME@sha256:DIGITS with at least 8 hex digits",
        )
    prompt, digest, alias, number = match.group("prompt", "digest", "alias", "number")
    if digest:
        return ByDigest(prompt, f"sha256:{digest}")
    if number:
        return ByNumber(prompt, int(number))
    return ByAlias(prompt, alias or PRODUCTION)


def check_name(text: str, what: str) -> str:
    """The name of a prompt, task or alias, if it is one. Only a prompt may be `shared/NAME`."""
    if re.fullmatch(_PROMPT if what == "prompt" else _NAME, text) is None:
        raise Invalid(
            f"{text!r} is no {what} name",
            hint="use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit"
            + ("; a shared prompt is named shared/NAME" if what == "prompt" else ""),
        )
    if text == NONE and what != "alias":
        raise Invalid(
            f"a {what} cannot be named {NONE!r}: that is the backbone without a prompt", hint="choose another name"
        )
    return text
