"""How much better one version answers the same rows than another, with a confidence interval.

A paired bootstrap: rows are drawn anew with replacement, and both versions are judged on the same draw (Efron and
Tibshirani, 1993, chapter 13). It holds for every metric, also for F1 over entities, which is no mean over rows;
McNemar's test knows right and wrong alone, and gives no interval to compare a margin with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidSetting
from .evaluation import means, score
from .prediction import Answer
from .privacy.discrimination import REPLICATES, Estimate, drawn, estimate
from .rows.task import Row

SEED = 0  # the same rows and answers have the same interval each time


@dataclass(frozen=True)
class Scores:
    """Each row's part in the metrics of one version: `values` [R, S], whose columns are `names`, `rows` first."""

    names: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Row], answers: Sequence[Answer]) -> "Scores":
        """Score every row."""
        found = [{"rows": 1.0} | score(row, one) for row, one in zip(rows, answers, strict=True)]
        names = tuple(found[0])
        return cls(names, np.array([[one[name] for name in names] for one in found]))

    def metrics(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """The metrics, with every row counted as often as its weight says."""
        sums = self.values.sum(0) if weights is None else weights @ self.values
        return means(dict(zip(self.names, sums.tolist(), strict=True)))

    def among(self, rows: NDArray[np.bool_]) -> "Scores":
        """Those of some rows."""
        return Scores(self.names, self.values[rows])


def difference(new: Scores, old: Scores, metric: str) -> Estimate:
    """How much higher a metric of `new` is than that of `old`, on the same rows.

    Raises:
        InvalidSetting: they are not scored alike.
    """
    if new.names != old.names or new.values.shape != old.values.shape:
        raise InvalidSetting("the two versions answer other kinds of rows, and cannot be compared row by row")
    generator, count = np.random.default_rng(SEED), len(new.values)

    def more(weights: NDArray[np.float64]) -> float:
        return new.metrics(weights)[metric] - old.metrics(weights)[metric]

    replicates = np.array([more(drawn(count, generator)) for _ in range(REPLICATES)])
    return estimate(more(np.ones(count)), replicates)
