"""How well scores tell members from others, with a bootstrap confidence interval.

Rows and targets are drawn anew, both with replacement, because scores of one row, and of one target, are alike (Owen,
2007, "The pigeonhole bootstrap"; its intervals are a little too wide, never too narrow).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .membership import Floats, Scores

REPLICATES = 1000
LEVEL = 0.95
FALSE_POSITIVES = 0.01  # share of others taken for members at which the share of members found is read


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval."""

    value: float
    low: float
    high: float


def discrimination(scores: Scores, generator: np.random.Generator) -> tuple[Estimate, Estimate]:
    """The area under the ROC curve, and the true positive rate at 1% false positives."""
    curve = _Curve(scores)
    rows, row = np.unique(scores.rows, return_inverse=True)
    targets, target = np.unique(scores.targets, return_inverse=True)

    def replicate() -> tuple[float, float]:
        weights = drawn(len(rows), generator)[row] * drawn(len(targets), generator)[target]
        return curve.read(weights)

    values = curve.read(np.ones(len(scores.values)))
    several = np.array([replicate() for _ in range(REPLICATES)])
    auc, tpr = (estimate(value, column) for value, column in zip(values, several.T, strict=True))
    return auc, tpr


def mean(groups: NDArray[np.float64], generator: np.random.Generator) -> Estimate:
    """The mean of [S, n]; whole groups are drawn anew, and values inside them."""
    count, size = groups.shape
    picked = (
        generator.integers(count, size=(REPLICATES, count, 1)),
        generator.integers(size, size=(REPLICATES, count, size)),
    )
    return estimate(float(groups.mean()), groups[picked].mean((1, 2)))


class _Curve:
    """The ROC curve of scores under any weights; equal scores are one step."""

    def __init__(self, scores: Scores) -> None:
        _, self._step = np.unique(-scores.values, return_inverse=True)
        self._members = scores.members

    def read(self, weights: Floats) -> tuple[float, float]:
        """The area, and the true positive rate; not numbers where a side has no weight."""
        found, taken = (self._shares(weights * side) for side in (self._members, ~self._members))
        area = float(((found[1:] + found[:-1]) / 2 * np.diff(taken)).sum())
        if np.isnan(area):
            return area, area
        allowed = np.searchsorted(taken, FALSE_POSITIVES, side="right") - 1
        return area, float(found[allowed])

    def _shares(self, weights: Floats) -> Floats:
        """The share of a side's weight above each threshold, from 0 to 1."""
        sums = np.cumsum(np.bincount(self._step, weights))
        return np.concatenate([[0.0], sums / sums[-1] if sums[-1] else np.full(len(sums), np.nan)])


def drawn(count: int, generator: np.random.Generator) -> Floats:
    """How often each of `count` was drawn in as many draws."""
    return np.bincount(generator.integers(count, size=count), minlength=count).astype(float)


def estimate(value: float, replicates: Floats) -> Estimate:
    """A number with the interval that its replicates lie in."""
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(replicates, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))
