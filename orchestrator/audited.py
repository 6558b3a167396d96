"""The rows that an audit is about: what a version learned, and what it did not."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import methods

from .answering import Ready
from .errors import InvalidSpec
from .shadows import Examples, Recipe
from .shots import few
from .sources import read
from .specs import Split, TaskSpec

LEAST = 8  # different rows on each side, below which nothing can be said


@dataclass(frozen=True)
class Rows:
    """Different rows as examples, members first: how often each was trained on, and zero for the others."""

    examples: Examples
    counts: NDArray[np.int64]  # [R]

    @property
    def members(self) -> NDArray[np.bool_]:
        """[R], which of them the version was trained on."""
        return self.counts > 0

    def chosen(self, watched: int | None, generator: np.random.Generator) -> NDArray[np.int64]:
        """Which rows to score: all, or no more than so many of each side."""
        sides = [generator.permutation(np.flatnonzero(side))[:watched] for side in (self.members, ~self.members)]
        return np.sort(np.concatenate(sides))

    @classmethod
    def of(cls, spec: TaskSpec, version: Ready, recipe: Recipe) -> "Rows":
        """Read from the task's own files, which must be those of the version's card.

        Raises:
            InvalidSpec: other files, or too few rows.
        """
        data: Any = version.artifact.card.data[version.task.name]
        splits: dict[Split, tuple[methods.Row, ...]] = {
            split: _read(spec, split, digest, version) for split, digest in data["sha256"].items()
        }
        learned = few(version.task.kind, splits.pop("train"), data.get("shots"), recipe.plan.seed)
        counts = Counter(learned)
        others = Counter(row for rows in splits.values() for row in rows if row not in counts)
        found = [(recipe.examples(version.task, row), counts[row]) for row in [*counts, *others]]
        taught = [(examples, count) for examples, count in found if examples]
        rows = cls([examples for examples, _ in taught], np.array([count for _, count in taught], dtype=np.int64))
        for side, count in (("training", rows.members.sum()), ("held-out", (~rows.members).sum())):
            if count < LEAST:
                raise InvalidSpec(
                    f"{version.reference} has {count} different {side} rows; an audit needs {LEAST} or more"
                )
        return rows


def _read(spec: TaskSpec, split: Split, digest: str, version: Ready) -> tuple[methods.Row, ...]:
    source = read(spec, split, version.task.labels)
    if source.sha256 != digest:
        raise InvalidSpec(
            f"the {split} file of task {spec.name!r} is not the one that {version.reference} was trained with:"
            f" its sha256 begins with {source.sha256[:12]}, that of the card with {digest[:12]}",
            hint="put that file back, or train a new version and audit it",
        )
    return source.rows
