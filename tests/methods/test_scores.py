"""An accuracy matrix and the numbers that papers make of it."""

from collections.abc import Sequence
from dataclasses import astuple

import pytest

from methods.continual import Scores

TOY = [[90.0 - 2 * (last - n) for n in range(last + 1)] for last in range(10)]  # two points less for each later task


def test_the_names_are_told_apart_on_a_matrix_where_they_differ() -> None:
    """Of N = 10 tasks, each of which loses 2 points with every later one.

    A_N = 90 - 2 * (0 + .. + 9) / 10. CAA is the mean of 90 - i for i = 0 .. 9. F (code): every drop is 2. F (paper) is
    the mean over i = 2 .. 10 of (1 / i) * 2 * (1 + .. + i - 1) = i - 1. F (max) is that of 2 * (1 .. 9); BWT minus it.
    """
    assert Scores.of(TOY, [150] * 10).named() == pytest.approx(
        {"A_N": 81.0, "CAA": 85.5, "F (code)": 2.0, "F (paper)": 5.0, "F (max)": 10.0, "BWT": -10.0}
    )


@pytest.mark.parametrize(
    ("matrix", "rows", "expected"),
    [
        # A_N (60 + 90) / 2, CAA (80 + 75) / 2, all fall by 20; the paper weighs the first by 30 of 40 rows
        ([[80], [60, 90]], [30, 10], (75, 77.5, 20, 15, 20, -20)),
        # A_N 220 / 3, CAA (50 + 80 + 220 / 3) / 3; code (-20 + (10 + 20) / 2) / 2; paper (-20 / 2 + (-10 + 20) / 3) / 2
        # the first was best in the middle: max (10 + 20) / 2, BWT (10 - 20) / 2
        ([[50], [70, 90], [60, 70, 90]], [5, 5, 5], (220 / 3, 610 / 9, -2.5, -10 / 3, 15, -5)),
    ],
)
def test_by_hand(matrix: Sequence[Sequence[float]], rows: Sequence[int], expected: tuple[float, ...]) -> None:
    assert astuple(Scores.of(matrix, rows)) == pytest.approx(expected)


def test_one_session_has_nothing_to_forget() -> None:
    assert astuple(Scores.of([[87.5]], [40])) == (87.5, 87.5, None, None, None, None)


@pytest.mark.parametrize(
    ("matrix", "rows"),
    [([[90.0], [80.0]], [5, 5]), ([[90.0, 0.0], [80.0, 70.0]], [5, 5]), ([[90.0], [80.0, 70.0]], [5])],
)
def test_a_ragged_matrix_is_refused(matrix: Sequence[Sequence[float]], rows: Sequence[int]) -> None:
    with pytest.raises(ValueError, match="rows of 1, 2"):
        Scores.of(matrix, rows)
