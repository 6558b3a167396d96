"""What --from names: the versions whose prompts a run starts from, alone or mixed by weight."""

import re
from dataclasses import dataclass

from registry import Registry, Version

from .errors import InvalidSpec

HINT = "write REF, shared:NAME, or several with weights: sentiment:3*0.7,qa:1*0.3"
_PART = re.compile(r"(?P<reference>[^*,\s]+)(?:\*(?P<weight>\d+(?:\.\d+)?|\.\d+))?")


@dataclass(frozen=True)
class Ingredient:
    """A version and its weight as it is written; without one it weighs as much as every other."""

    reference: str
    written: str | None = None

    @property
    def weight(self) -> float:
        """How much of it there is beside the others."""
        return float(self.written or 1)

    def __str__(self) -> str:
        return self.reference if self.written is None else f"{self.reference}*{self.written}"


def ingredients(text: str) -> tuple[Ingredient, ...]:
    """Read REF, or REF*WEIGHT,REF*WEIGHT and so on.

    Raises:
        InvalidSpec: it says something else, or gives only some of them a weight.
    """
    found = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise InvalidSpec(f"--from {text!r} names no versions", hint=HINT)
        found.append(Ingredient(match["reference"], match["weight"]))
    if len({one.written is None for one in found}) > 1 or not all(one.weight for one in found):
        raise InvalidSpec(f"--from {text!r} gives some versions no weight", hint="weigh each of them, or none")
    return tuple(found)


def pinned(registry: Registry, text: str, option: str = "--from") -> str:
    """The same, each version by its number. A bare shared:NAME means its newest version.

    Raises:
        InvalidSpec: it cannot be read, or names a version twice.
        RegistryError: there is no such version.
    """
    found = [(_version(registry, one.reference), one) for one in ingredients(text)]
    if len({version.id for version, _ in found}) < len(found):
        raise InvalidSpec(f"{option} {text!r} names a version twice", hint="name it once")
    return ",".join(str(Ingredient(version.reference, one.written)) for version, one in found)


def versions(registry: Registry, text: str) -> list[Version]:
    """The versions of a pinned start."""
    return [registry.resolve(one.reference) for one in ingredients(text)]


def _version(registry: Registry, reference: str) -> Version:
    kind, _, rest = reference.partition(":")
    if kind != "shared" or not rest:
        return registry.resolve(reference)
    name = f"shared/{rest}"
    if "@" in rest or ":" in rest:
        return registry.resolve(name)
    ready = [version for version in registry.versions(name) if version.state == "READY"]
    return ready[0] if ready else registry.resolve(name)
