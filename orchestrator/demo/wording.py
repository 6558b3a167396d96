"""The little template language: [a|b] is a choice, {town1} a slot; one slot means the same wherever it stands."""

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def choose(template: str, rng: Random) -> str:
    """The template with every choice made, the innermost first."""
    while match := _CHOICE.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return template


def cast(templates: Iterable[str], names: Mapping[str, Sequence[str]], rng: Random) -> dict[str, str]:
    """A value for every slot of these templates; slots of one kind never share a value."""
    slots = {match.group(1, 2) for template in templates for match in _SLOT.finditer(template)}
    values: dict[str, str] = {}
    for kind in sorted({kind for kind, _ in slots}):
        numbers = sorted(number for of, number in slots if of == kind)
        drawn = _draw(kind, max(len(numbers), int(numbers[-1] or 0)), names, rng)
        values |= {kind + number: drawn[int(number or 1) - 1] for number in numbers}
    return values


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its slots filled, beginning with a capital."""
    text = _SLOT.sub(lambda match: values[match[1] + match[2]], template)
    return text[0].upper() + text[1:]


def _draw(kind: str, count: int, names: Mapping[str, Sequence[str]], rng: Random) -> list[str]:
    match kind:
        case "person":
            firsts, lasts = rng.sample(names["first"], count), rng.sample(names["last"], count)
            return [f"{first} {last}" for first, last in zip(firsts, lasts, strict=True)]
        case "year":
            start = rng.randrange(1850, 1930)
            return [str(year) for year in sorted(rng.sample(range(start, start + 40, 3), count))]
        case "recent":
            start = rng.randrange(1994, 2000)
            return [str(year) for year in sorted(rng.sample(range(start, 2024, 3), count))]
        case "count":
            return [str(number) for number in sorted(rng.sample(range(12, 97), count))]
        case "many":
            return [str(number) for number in sorted(rng.sample(range(110, 990), count))]
        case "month":
            return rng.sample(_MONTHS, count)
        case _:
            return rng.sample(names[kind], count)
