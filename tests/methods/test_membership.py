"""The attack's numbers: worked by hand, and by how they behave where it is known what leaks."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from methods import Backbone, Learner, Row, Task, encode, method
from methods.privacy.canaries import KINDS, REFERENCES, Canaries, exposure, nonsense, vocabulary
from methods.privacy.confidence import confidence, losses
from methods.privacy.discrimination import Estimate, discrimination, mean
from methods.privacy.membership import Scores, halves, published, retrained, unseen

Floats = NDArray[np.float64]
MOOD = Task("mood", "classification", ("bad", "good"))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores(values: list[float], members: list[bool]) -> Scores:
    return Scores(np.array(values), np.array(members), np.arange(len(values)), np.zeros(len(values), dtype=np.int64))


def normal(seed: int, shadows: int, rows: int, gap: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidences N(row's own mean, 1), `gap` higher where a shadow saw the row; and who saw what."""
    drawn = rng(seed)
    inside = halves(shadows, rows, drawn)
    said = 3 * drawn.normal(size=rows) + drawn.normal(size=(shadows, rows)) + gap * inside
    return said, inside


def test_confidence_is_the_log_odds_of_the_truth() -> None:
    """p = 3/4 has odds 3; p = 1 - 1e-12 has 1e12; a loss of 0 is cut to one that is finite."""
    found = confidence(np.array([-math.log(0.75), 1e-12, 0.0]))
    assert found[:2] == pytest.approx([math.log(3), 12 * math.log(10)])
    assert found[2] == pytest.approx(15 * math.log(10))


def test_losses_are_the_means_over_a_rows_examples(tiny: Backbone) -> None:
    learner = Learner.new(tiny, method("prompt-tuning", {"length": 5}), [MOOD], 0)
    texts = ("the film was very good", "a bad and dull hotel in the city", "the book")
    singles = [encode(tiny, MOOD, Row(text, label="good")) for text in texts]
    each = [one.total.item() for examples in singles for one in learner.losses([(0, examples[0])])]
    found = losses(tiny, *learner.fold(0), [singles[0], [*singles[1], *singles[2]]])
    assert found == pytest.approx([each[0], (each[1] + each[2]) / 2], abs=1e-6)


def test_each_shadow_has_its_own_half_and_rows_are_seen_by_as_many_as_it_happens() -> None:
    """By 8 shadows a row is seen 4 times in the mean, with a deviation of sqrt(8) / 2 = 1.41."""
    inside = halves(8, 1001, rng())
    assert inside.sum(1).tolist() == [500] * 8
    counts = inside.sum(0)
    assert counts.std() == pytest.approx(math.sqrt(8) / 2, abs=0.15)
    assert np.corrcoef(inside).reshape(-1)[1:].min() > -0.15  # no half is another's other half


def test_online_scores_are_log_likelihood_ratios() -> None:
    """Target 0 against the other four: 1 and 2 saw row 0 and said 3 and 5, 3 and 4 did not and said 0 and 2.

    Row 0: in N(4, v), out N(1, w); row 1: 1 and 3 say 1 in, 2 and 4 say -1 out, without any spread; all four say 7 of
    row 2, which none of them saw, so that it is left out. Pooled: v = (1 + 1) / (1 + 1) = 1, w = (1 + 1) / (1 + 1 + 3)
    = 0.4. Row 0 at 2: -(2 - 4)^2 / 2 + ((2 - 1)^2 / 0.4 + ln 0.4) / 2; row 1 at 1: 0 + ((1 + 1)^2 / 0.4 + ln 0.4) / 2.
    """
    said = np.array([[2.0, 1, 7], [3, 1, 7], [5, -1, 7], [0, 1, 7], [2, -1, 7]])
    inside = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    found = retrained(said, inside)
    first = found.targets == 0
    assert found.values[first] == pytest.approx([-2 + (2.5 + math.log(0.4)) / 2, (10 + math.log(0.4)) / 2])
    assert found.members[first].tolist() == [True, False]
    assert found.rows[first].tolist() == [0, 1]


def test_offline_scores_are_distances_from_what_others_say_who_did_not_see_the_row() -> None:
    """Row 0: out 1 and 3, mean 2; row 1: out -1 and 1, mean 0; both have the variance (2 + 2) / (1 + 1) = 2."""
    said = np.array([[1.0, 9, 0], [3, -1, 0], [9, 1, 0]])
    inside = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 1]], dtype=bool)
    found = published(np.array([4.0, 1.0, 5.0]), said, inside, np.array([True, False, False]))
    assert found.values == pytest.approx([2 / math.sqrt(2), 1 / math.sqrt(2)])
    assert found.rows.tolist() == [0, 1]
    assert found.members.tolist() == [True, False]


def test_rows_with_many_shadows_have_a_variance_of_their_own() -> None:
    """A loud row hides a quiet one's gap only where they share a variance."""
    drawn = rng(1)
    inside = np.tile(np.arange(81) % 2 == 0, (2, 1)).T
    said = np.stack([100 * drawn.normal(size=81), drawn.normal(size=81) + 6 * inside[:, 1]], axis=1)
    quiet = retrained(said, inside)
    own = quiet.rows == 1
    assert quiet.values[own & quiet.members].min() > quiet.values[own & ~quiet.members].max()
    assert quiet.values[own & quiet.members].min() > 0.5  # with the pooled deviation of 70 it would be about 0.02
    few = retrained(said[:21], inside[:21])
    assert few.values[(few.rows == 1) & few.members].max() < 0.5


def aucs(attack: Callable[[int], Scores], seeds: int = 10) -> Floats:
    """Areas by Mann and Whitney's sum of ranks."""
    found = []
    for one in map(attack, range(seeds)):
        ranks, count = one.values.argsort().argsort()[one.members] + 1, one.members.sum()
        found.append((ranks.sum() - count * (count + 1) / 2) / (count * (~one.members).sum()))
    return np.array(found)


def test_where_nothing_leaks_neither_attack_finds_anything() -> None:
    """Ten times 4 targets of 500 rows: an area of one half, with a deviation below 0.29 / sqrt(10 * 1000) = 0.003."""
    online = aucs(lambda seed: retrained(*normal(seed, 4, 500, gap=0)))
    assert abs(online.mean() - 0.5) < 0.01

    def offline(seed: int) -> Scores:
        said, inside = normal(seed, 9, 1000, gap=0)
        return published(said[0], said[1:], inside[1:], np.arange(1000) < 600)

    assert abs(aucs(offline).mean() - 0.5) < 0.015


def test_halves_that_see_each_row_equally_often_would_tell_members_by_that_alone() -> None:
    def balanced(seed: int) -> Scores:
        drawn = rng(seed)
        inside = np.argsort(drawn.random((4, 500)), axis=0) < 2
        return retrained(drawn.normal(size=(4, 500)), inside)

    assert aucs(balanced).mean() < 0.48


def test_what_leaks_is_found_as_far_as_theory_allows() -> None:
    """Two deviations apart, the best test has an area of Phi(2 / sqrt(2)) = 0.921; 15 shadows come close."""
    area, tpr = discrimination(retrained(*normal(3, 16, 400, gap=2.0)), rng())
    assert 0.87 < area.value < 0.925
    assert area.low < area.value < area.high
    assert 0.2 < tpr.value < 0.4  # Phi(2 - 2.326) = 0.372 for the best test
    assert tpr.low <= tpr.value <= tpr.high


def test_the_control_sees_that_files_differ_and_not_what_was_trained_on() -> None:
    """Rows of the second file are said as well by every shadow, but for the last one, which says them worse by 2."""
    said, inside = normal(5, 8, 800, gap=3.0)
    members = np.arange(800) < 400
    alike = said - 3.0 * (inside & ~members)  # nobody saw the second file
    assert discrimination(unseen(alike, inside, members), rng())[0].value == pytest.approx(0.5, abs=0.03)
    assert set(unseen(alike, inside, members).targets) == set(range(8))
    other = alike - 2.0 * ~members * (np.arange(8) == 7)[:, None]
    last = unseen(other, inside, members)
    own = last.targets == 7
    found = Scores(last.values[own], last.members[own], last.rows[own], last.targets[own])
    assert discrimination(found, rng())[0].value > 0.8


@pytest.mark.parametrize(
    ("values", "members", "area", "found"),
    [
        ([4, 3, 2, 1], [True, False, True, False], 0.75, 0.5),  # 3 of 4 pairs in order; one of two above all others
        ([4, 3, 2, 1], [True, True, False, False], 1.0, 1.0),
        ([1, 1, 1, 1], [True, False, True, False], 0.5, 0.0),  # equal scores are half in order
        ([2, 2, 1, 0], [True, False, True, False], 0.625, 0.0),  # 1/2 + 1 + 0 + 1 of 4
    ],
)
def test_the_area_is_the_share_of_pairs_in_order(
    values: list[float], members: list[bool], area: float, found: float
) -> None:
    auc, tpr = discrimination(scores(values, members), rng())
    assert (auc.value, tpr.value) == (area, found)


def test_one_false_alarm_in_a_hundred_is_allowed() -> None:
    """100 others, of which one has the highest score: above it is nobody, below it are 30 of 40 members."""
    values = [9.0, *[0.0] * 99, *[5.0] * 30, *[-1.0] * 10]
    members = [False] * 100 + [True] * 40
    assert discrimination(scores(values, members), rng())[1].value == 0.75
    assert discrimination(scores([9.0, *values], [False, *members]), rng())[1].value == 0.0  # 2 of 101 are too many


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """A mean of 6 groups of 5 around 1: at 95%, at least 80 of 100, because so few groups vary too little."""
    held = 0
    for seed in range(100):
        drawn = rng(seed)
        found = mean(1 + drawn.normal(size=(6, 1)) + drawn.normal(size=(6, 5)), drawn)
        held += found.low <= 1 <= found.high
    assert 80 <= held <= 100


def test_an_interval_is_as_wide_as_rows_and_targets_are_few() -> None:
    def width(shadows: int, rows: int) -> float:
        found: Estimate = discrimination(retrained(*normal(1, shadows, rows, gap=1.0)), rng())[0]
        return found.high - found.low

    assert width(4, 40) > 2 * width(16, 400)


def test_exposure_is_in_bits_below_the_number_of_things_that_it_could_have_been() -> None:
    """Among 7 others: first of 8 is 3 bits, third log2(8 / 3), last 0; a tie is not the better one."""
    others = np.tile(np.arange(1.0, 8.0), (4, 1))
    found = exposure(np.array([0.0, 2.5, 9.0, 1.0]), others)
    assert found == pytest.approx([3.0, 3 - math.log2(3), 0.0, 2.0])


def test_a_canary_of_which_nothing_was_learned_has_about_one_and_a_half_bits() -> None:
    drawn = rng(2)
    found = exposure(drawn.random(4000), drawn.random((4000, REFERENCES)))
    assert found.mean() == pytest.approx(1 / math.log(2), abs=0.08)


def test_canaries_are_words_of_the_tokenizer_with_labels_of_the_task(tiny: Backbone) -> None:
    words = vocabulary(tiny)
    assert {"film", "bridge", "a"} <= set(words)
    assert not any(word.startswith(("[", "##")) for word in words)
    rows = nonsense(MOOD, words, 300, rng())
    assert {row.label for row in rows} == {"bad", "good"}
    assert all(len(row.text.split()) == 8 and set(row.text.split()) <= set(words) for row in rows)
    assert len({row.text for row in rows}) == 300
    pair = nonsense(Task("p", "pair", ("x", "y")), words, 1, rng())[0]
    assert pair.pair is not None
    assert pair.pair != pair.text


def test_canaries_are_as_many_as_the_rows_bear_and_none_without_labels(tiny: Backbone) -> None:
    assert [Canaries.of(tiny, MOOD, None, rows, rng()).count for rows in (6, 60, 160, 9000)] == [1, 3, 8, 8]
    assert Canaries.of(tiny, Task("qa", "span-qa"), None, 9000, rng()).some(rng()) == []
    assert "span-qa" not in KINDS


def test_a_canary_is_ranked_among_references_of_its_own_label(tiny: Backbone) -> None:
    """A head that says good to everything leaves a canary nowhere special, whatever its label."""
    learner = Learner.new(tiny, method("prompt-tuning", {"length": 5}), [MOOD], 0)
    form, head = learner.fold(0)
    head.bias[1] += 20.0  # pyright: ignore[reportAttributeAccessIssue] - a linear head
    canaries = Canaries.of(tiny, MOOD, None, 9000, rng())
    drawn = rng(4)
    planted = [one for _ in range(5) for one in canaries.some(drawn)]
    assert {one[0].label for one in planted} == {0, 1}
    bits = canaries.exposure(form, head, planted)
    assert bits.shape == (40,)
    for label in (0, 1):
        own = [one for one, examples in zip(bits, planted, strict=True) if examples[0].label == label]
        assert np.mean(own) < 2.6
