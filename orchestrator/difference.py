"""What differs between two versions: what their cards say, and how far their tensors are apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from methods import Artifact
from methods.difference import Distance, distances, shapes
from registry import Registry

ORDER = (  # of what is compared
    *("metrics", "method", "hyperparameters", "data", "training", "task", "backbone", "prompt", "head", "factors"),
    "package_version",
)


@dataclass(frozen=True)
class Fact:
    """Something that both cards could say; of two numbers also how much more the second is."""

    what: str
    a: object
    b: object
    difference: float | None = None


@dataclass(frozen=True)
class Difference:
    """Between the versions `a` and `b`; what is equal is left out."""

    a: str
    b: str
    same_bytes: bool
    facts: tuple[Fact, ...]
    tensors: tuple[Distance, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs, but for the names that they have."""
        return not (self.facts or self.tensors)


def difference(registry: Registry, a: str, b: str) -> Difference:
    """Compare two versions; prompts of other geometries are told apart by what they are.

    Raises:
        RegistryError: nothing has that name, or its bytes are damaged.
    """
    one, other = registry.resolve(a), registry.resolve(b)
    ours, theirs = (Artifact.from_bytes(registry.fetch(version)) for version in (one, other))
    return Difference(
        one.reference,
        other.reference,
        one.digest == other.digest,
        tuple(_facts(dict(_said(ours)), dict(_said(theirs)))),
        tuple(distances(ours, theirs)),
    )


def _facts(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[Fact]:
    """What is not equal, in the order of the cards; 1 and 1.0 and true are three values."""
    for what in sorted({**one, **other}, key=lambda what: ORDER.index(what.partition(".")[0])):
        a, b = one.get(what), other.get(what)
        if (a, type(a)) != (b, type(b)):
            yield Fact(what, a, b, _more(a, b))


def _more(a: object, b: object) -> float | None:
    numbers = [one for one in (a, b) if isinstance(one, int | float) and not isinstance(one, bool)]
    return numbers[1] - numbers[0] if len(numbers) == 2 else None


def _said(artifact: Artifact) -> Iterator[tuple[str, object]]:
    """Everything that is compared by value, under names with points."""
    card = artifact.card.to_json() | shapes(artifact)
    for key in ORDER:
        yield from _flat(key, card[key])


def _flat(key: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield key, list(value) if isinstance(value, tuple) else value
        return
    for name, inner in value.items():
        yield from _flat(f"{key}.{name}", inner)
