"""How much better one version is than another, on the same rows."""

import numpy as np
import pytest

from methods import Classified, InvalidSetting, Row, Tagged
from methods.paired import Scores, difference


def scored(right: list[int]) -> Scores:
    """Rows of which these are answered rightly."""
    rows = [Row("text", label="yes")] * len(right)
    return Scores.of(rows, [Classified("yes" if one else "no", {}) for one in right])


def test_the_difference_is_that_of_the_metrics_and_its_interval_that_of_pairs() -> None:
    """Of 100 rows 70 are right in both, 20 in the new alone, 10 in the old alone: 0.9 - 0.8 = 0.1.

    A pair's difference has the mean 0.1 and the variance 0.3 - 0.01 = 0.29, so the mean of 100 has the standard error
    0.0539, and the interval is about 0.1 ± 1.96 * 0.0539 = -0.006 to 0.206.
    """
    new, old = scored([1] * 90 + [0] * 10), scored([1] * 70 + [0] * 20 + [1] * 10)
    found = difference(new, old, "accuracy")
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((-0.006, 0.206), abs=0.015)
    assert found == difference(new, old, "accuracy")  # the same draws each time
    back = difference(old, new, "accuracy")
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_what_is_answered_alike_has_no_difference_in_any_draw() -> None:
    same = scored([1, 0] * 20)
    found = difference(same, same, "accuracy")
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_entities_are_counted_over_all_rows_and_not_averaged() -> None:
    """Gold has 3 entities in two rows; the new one finds 2 of them and nothing else: F1 2 * 2 / (2 + 3) = 0.8."""
    rows = [Row(tokens=("a", "b"), tags=("B-x", "B-y")), Row(tokens=("c",), tags=("B-x",))]
    new = Scores.of(rows, [Tagged(("B-x", "B-y"), ()), Tagged(("O",), ())])
    old = Scores.of(rows, [Tagged(("O", "O"), ()), Tagged(("O",), ())])
    assert new.metrics()["f1"] == pytest.approx(0.8)
    assert difference(new, old, "f1").value == pytest.approx(0.8)
    assert new.among(np.array([True, False])).metrics()["f1"] == 1


def test_other_rows_or_kinds_cannot_be_compared() -> None:
    tagged = Scores.of([Row(tokens=("a",), tags=("O",))], [Tagged(("O",), ())])
    for other in (scored([1, 1]), tagged):
        with pytest.raises(InvalidSetting, match="cannot be compared row by row"):
            difference(scored([1]), other, "accuracy")
