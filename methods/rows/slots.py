"""The template language: literal words, and slots `{text}`, `{pair}`, `{mask}` and `{prompt:N}`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InvalidSetting

_SLOT = re.compile(r"\{([A-Za-z][\w-]*)(?::(\d{1,4}))?\}")
_BRACED = re.compile(r"\{[^{}]*\}")
_VIRTUAL = re.compile(r"\{prompt(:\d+)?\} ?")
SLOTS = ("text", "pair", "mask", "prompt")


@dataclass(frozen=True)
class Segment:
    """A part of a template: a slot by its name, or `literal` words."""

    kind: str
    words: str = ""
    count: int = 1  # virtual tokens of a slot {prompt:N}


def segments(template: str) -> list[Segment]:
    """A template taken apart at its slots."""
    found: list[Segment] = []
    end = 0
    for slot in _SLOT.finditer(template):
        found += [Segment("literal", template[end : slot.start()]), Segment(slot[1], count=int(slot[2] or 1))]
        end = slot.end()
    return [*found, Segment("literal", template[end:])]


def virtual_tokens(template: str) -> int:
    """How many virtual tokens a template has slots for."""
    return sum(part.count for part in segments(template) if part.kind == "prompt")


def check_template(template: str, kind: str) -> None:
    """Refuse a template that leaves a row's text out, reads what a row has not, or has two places for an answer.

    Raises:
        InvalidSetting: naming what is wrong.
    """
    names = [name for name, _ in _SLOT.findall(template)]
    if strange := _BRACED.search(_SLOT.sub("", template)):
        raise InvalidSetting(f"the template has {strange[0]}, which is no slot; known: {', '.join(SLOTS)}")
    for name, count in _SLOT.findall(template):
        if name not in SLOTS:
            raise InvalidSetting(f"the template has the unknown slot {{{name}}}; known: {', '.join(SLOTS)}")
        if count and (name != "prompt" or not int(count)):
            raise InvalidSetting(f"the template has a slot {{{name}:{count}}}; only {{prompt:N}} counts, from 1")
    for name in ("text", "pair") if kind == "pair" else ("text",):
        if names.count(name) != 1:
            raise InvalidSetting(f"the template has {names.count(name)} slots {{{name}}}; a {kind} task needs one")
    if names.count("pair") > int(kind in ("pair", "generation")):
        raise InvalidSetting(f"the template has {names.count('pair')} slots {{pair}}; a {kind} task has not as many")
    if names.count("mask") > 1:
        raise InvalidSetting(f"the template has {names.count('mask')} slots {{mask}}; one is read")


def check_order(template: str) -> None:
    """Refuse a text behind the mask, where a backbone that goes on at the mask never reads it.

    Raises:
        InvalidSetting: naming the slot.
    """
    behind = template.partition("{mask}")[2]
    for part in segments(behind):
        if part.kind in ("text", "pair"):
            raise InvalidSetting(
                f"the template has {{{part.kind}}} behind {{mask}}, and this backbone reads no further than the mask",
                hint="put the answer behind the texts, or take an encoder: --backbone NAME|FOLDER",
            )


def filled(template: str, values: Mapping[str, str], answer: str) -> str:
    """A whole example in words: the answer stands at the mask, or else behind everything; virtual tokens are left out.

    What a value says is never read as a slot.
    """
    if "{mask}" not in template:
        template = f"{template.rstrip()} {{mask}}"
    given = {**values, "mask": answer}
    return "".join(part.words or given.get(part.kind, "") for part in segments(_VIRTUAL.sub("", template)))
