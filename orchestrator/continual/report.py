"""How a prompt that learns on remembers: what its versions say of themselves, put together as a matrix."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from methods.continual.scores import Scores
from registry import Registry, Version

from ..errors import InvalidSpec
from .card import CORRECTIONS, sessions_of
from .sessions import current


@dataclass(frozen=True)
class Session:
    """A session, the version that learned it, and the accuracy on each session so far; none where it is not known."""

    name: str
    version: str
    accuracies: tuple[float | None, ...]


@dataclass(frozen=True)
class Memory:
    """The accuracy matrix of one prompt, and what it comes down to where it is whole."""

    reference: str
    method: str
    sessions: tuple[Session, ...]
    scores: dict[str, float | None]
    after_corrections: dict[str, float]  # of the reference itself, where corrections were learned since


def memory(registry: Registry, reference: str) -> Memory:
    """The matrix of a version and those that it grew from; of a prompt with nothing in production, of its newest.

    Raises:
        InvalidSpec: it did not learn in sessions.
    """
    version = current(registry, reference)
    names = sessions_of(version)
    if not names:
        raise InvalidSpec(
            f"{version.reference} did not learn in sessions",
            hint="promptctl train --method coda --name NAME --tasks ...",
        )
    grown = [one for one in _line(registry, version) if sessions_of(one)[-1] != CORRECTIONS]
    tasks = [sessions_of(one)[-1] for one in grown]
    rows = tuple(
        Session(tasks[i], one.reference, tuple(_accuracy(one, name) for name in tasks[: i + 1]))
        for i, one in enumerate(grown)
    )
    matrix = [[value for value in row.accuracies if value is not None] for row in rows]
    whole = all(len(found) == len(row.accuracies) for found, row in zip(matrix, rows, strict=True))
    sizes = [_rows(one) for one in grown]
    scores = Scores.of(matrix, sizes).named() if whole and rows else {}
    corrected = names[-1] == CORRECTIONS
    since = {name: value for name in tasks if (value := _accuracy(version, name)) is not None} if corrected else {}
    return Memory(version.reference, str(version.card["method"]), rows, scores, since)


def _line(registry: Registry, version: Version) -> Iterator[Version]:
    """The versions that one grew from, the first one first, and itself."""
    training: Any = version.card["training"]
    if training.get("start") and len(sessions_of(version)) > 1:
        yield from _line(registry, registry.resolve(training["start"]))
    yield version


def _accuracy(version: Version, session: str) -> float | None:
    metrics: Any = version.card["metrics"]
    return metrics.get(f"accuracy.{session}")


def _rows(version: Version) -> int:
    """Held-out rows of the session that a version learned."""
    data: Any = version.card["data"]
    rows = data[sessions_of(version)[-1]]["rows"]
    return rows.get("test", rows["validation"])
