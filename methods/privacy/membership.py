"""Likelihood-ratio attack: Carlini et al. (2022), "Membership Inference Attacks From First Principles".

Shadows are trained on random halves of the rows. For each row, what shadows say of it that have seen it and that have
not gives two normal distributions; a target's row is scored by their likelihood ratio (section IV, online), or by how
far it lies above the second alone (section IV.D, offline). Below MANY shadows a row's own variance says little, so one
is pooled over all rows (section VI.B; the authors' code takes the variance of all confidences at once, we that around
each row's mean). Halves are drawn independently, so how often others saw a row says nothing of the target: with each
row in exactly half of the shadows it would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MANY = 32  # shadows on each side of a row, from which on its own variance is used

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """One attack's score per target and row; higher means that the row was more likely trained on."""

    values: Floats  # [n]
    members: Truths  # [n]
    rows: NDArray[np.int64]  # [n], which row
    targets: NDArray[np.int64]  # [n], which target


def halves(shadows: int, rows: int, generator: np.random.Generator) -> Truths:
    """[S, R], which rows each shadow trains on: its own half of them."""
    order = np.argsort(generator.random((shadows, rows)), axis=1)
    return np.argsort(order, axis=1) < rows // 2


def retrained(said: Floats, inside: Truths) -> Scores:
    """Online: each shadow in turn is the target, and all others are its shadows.

    said [S, R] is each one's confidence in each row. A row that all others saw, or none, is left out.
    """
    return _joined([_online(said, inside, target) for target in range(len(said))])


def published(target: Floats, said: Floats, inside: Truths, members: Truths) -> Scores:
    """Offline: a target [R] trained on all members, against shadows [S, R] that did not see a row.

    `inside` is drawn for rows that no shadow saw as well, and they are held to it: otherwise they would have more
    shadows than members have, and a lower variance would give them away.
    """
    return _offline(target, said, inside, members, 0)


def unseen(said: Floats, inside: Truths, members: Truths) -> Scores:
    """The control of `published`: the same attack on rows [R] that the target, each shadow in turn, did not see.

    It can only tell the files apart that the rows are from; where they are alike, it tells nothing.
    """
    found = []
    for target in range(len(said)):
        rows = np.flatnonzero(~inside[target])
        others = np.delete(np.arange(len(said)), target)[:, None]
        one = _offline(said[target, rows], said[others, rows], inside[others, rows], members[rows], target)
        found.append(Scores(one.values, one.members, rows[one.rows], one.targets))
    return _joined(found)


@dataclass(frozen=True)
class _Normal:
    counts: NDArray[np.int64]  # [R]
    means: Floats  # [R], zero where nothing counts
    variances: Floats  # [R]

    def log_likelihood(self, values: Floats) -> Floats:
        """[R], without the constant."""
        return -((values - self.means) ** 2 / self.variances + np.log(self.variances)) / 2


def _normal(said: Floats, which: Truths) -> _Normal:
    """Each row's normal distribution over the shadows that count."""
    counts = which.sum(0)
    means = np.where(which, said, 0).sum(0) / np.maximum(counts, 1)
    squares = (np.where(which, said - means, 0) ** 2).sum(0)
    free = np.maximum(counts - 1, 0)
    pooled = squares.sum() / max(free.sum(), 1)
    own = squares / np.maximum(free, 1)
    return _Normal(counts, means, np.maximum(np.where(counts >= MANY, own, pooled), 1e-12))


def _online(said: Floats, inside: Truths, target: int) -> Scores:
    others = np.delete(said, target, axis=0)
    seen = np.delete(inside, target, axis=0)
    within, without = _normal(others, seen), _normal(others, ~seen)
    rows = np.flatnonzero((within.counts > 0) & (without.counts > 0))
    values = within.log_likelihood(said[target]) - without.log_likelihood(said[target])
    return Scores(values[rows], inside[target, rows], rows, np.full(len(rows), target))


def _offline(target: Floats, said: Floats, inside: Truths, members: Truths, number: int) -> Scores:
    outside = _normal(said, ~inside)
    rows = np.flatnonzero(outside.counts > 0)
    values = (target - outside.means) / np.sqrt(outside.variances)
    return Scores(values[rows], members[rows], rows, np.full(len(rows), number))


def _joined(several: Sequence[Scores]) -> Scores:
    parts = [(one.values, one.members, one.rows, one.targets) for one in several]
    return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))
