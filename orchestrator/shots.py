"""Few-shot training: how many of a task's rows a run learns from, and which.

K rows of each label, several draws, and the mean over them: Gao et al. (2021), "Making Pre-trained Language Models
Better Few-shot Learners", section 3. Kinds whose rows have no label of the task's own give K rows in all.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from methods import Row

from .specs import Kind

PER_LABEL: tuple[Kind, ...] = ("classification", "pair")  # kinds whose rows have one label of the task's


def draw(labels: Sequence[str | None], shots: int, seed: int) -> list[int]:
    """Indices of `shots` rows of each label, without replacement and in the rows' order; of fewer rows, all.

    A larger draw of a seed holds its smaller ones.
    """
    generator = random.Random(seed)
    places: defaultdict[str | None, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    drawn: list[int] = []
    for label in sorted(places, key=str):
        generator.shuffle(places[label])
        drawn += places[label][:shots]
    return sorted(drawn)


def few(kind: Kind, rows: Sequence[Row], shots: int | None, seed: int) -> Sequence[Row]:
    """The rows to learn from: a draw of them, or all where no number of shots is given."""
    return rows if shots is None else [rows[place] for place in draw(_labels(kind, rows), shots, seed)]


def shortages(kind: Kind, labels: Sequence[str], rows: Sequence[Row], shots: int) -> Iterator[str]:
    """What has fewer than `shots` training rows, in words: labels by their names, or the task as a whole."""
    counts = Counter(_labels(kind, rows))
    for label in labels if kind in PER_LABEL else (None,):
        if counts[label] < shots:
            what = "the task" if label is None else f"label {label!r}"
            yield f"{what} has fewer training rows ({counts[label]}) than shots ({shots}); all of them are taken"


def _labels(kind: Kind, rows: Sequence[Row]) -> list[str | None]:
    """What each row is drawn among."""
    return [row.label if kind in PER_LABEL else None for row in rows]
