"""Stochastic task sampling: exact batch sizes, the paper's numbers of tasks, its cap, and nothing but the seed."""

from collections import Counter

import pytest

from methods.rows import stochastic
from methods.rows.stochastic import batches_per_epoch, epoch_batches

SIZES = [[5] * 60, [5] * 30, [5] * 7, [5] * 3]


def test_every_batch_has_exactly_its_rows_in_equal_shares() -> None:
    batches = [batch for epoch in range(40) for batch in epoch_batches(SIZES, 10, 1, epoch)]
    assert len(batches) == 40 * batches_per_epoch(SIZES, 10) == 40 * 10
    kinds: Counter[int] = Counter()
    for batch in batches:
        assert len(batch) == 10
        counts = Counter(task for task, _ in batch)
        kinds[len(counts)] += 1
        assert all(0 <= index < len(SIZES[task]) for task, index in batch)
    assert set(kinds) == {1, 2, 3, 4}, "with replacement, two names may be one task"


def test_shares_are_multiples_and_one_drawn_task_takes_what_is_left() -> None:
    """10 rows over n in {2, 3, 4} names: shares of 5, 3 + 1 left, 2 + 2 left."""
    for batch in epoch_batches(SIZES, 10, 3, 0):
        counts = sorted(Counter(task for task, _ in batch).values())
        assert any(
            all((count - extra) % share == 0 for count, extra in zip(counts, extras, strict=True))
            for share, left in ((5, 0), (3, 1), (2, 2))
            for extras in (
                [left if place == taker else 0 for place in range(len(counts))] for taker in range(len(counts))
            )
        )


def test_tasks_are_drawn_by_their_capped_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes 300 and 100 under a cap of 100: half of the rows each, not 3 to 1."""

    def share(cap: int) -> float:
        monkeypatch.setattr(stochastic, "CAP", cap)
        batches = [batch for epoch in range(60) for batch in epoch_batches([[5] * 300, [5] * 100], 20, 5, epoch)]
        rows = [task for batch in batches for task, _ in batch]
        return rows.count(0) / len(rows)

    assert stochastic.CAP == 262_144
    assert share(100) == pytest.approx(0.5, abs=0.03)
    assert share(2**18) == pytest.approx(0.75, abs=0.03)


def test_a_tasks_rows_come_once_before_any_comes_twice() -> None:
    longest = 0
    for epoch in range(20):
        order = [index for batch in epoch_batches(SIZES, 10, 2, epoch) for task, index in batch if task == 3]
        for first in range(0, len(order) - 2, 3):
            assert sorted(order[first : first + 3]) == [0, 1, 2]
        longest = max(longest, len(order))
    assert longest >= 6


def test_the_seed_and_the_epoch_decide() -> None:
    assert epoch_batches(SIZES, 10, 1, 0) == epoch_batches(SIZES, 10, 1, 0)
    assert epoch_batches(SIZES, 10, 1, 0) != epoch_batches(SIZES, 10, 1, 1)
    assert epoch_batches(SIZES, 10, 1, 0) != epoch_batches(SIZES, 10, 2, 0)


def test_small_batches_and_single_tasks_are_batches_too() -> None:
    assert all(len(batch) == 2 for batch in epoch_batches(SIZES, 2, 0, 0))
    alone = epoch_batches([[5] * 7], 3, 0, 0)
    assert [len(batch) for batch in alone] == [3, 3]
    assert len({index for batch in alone for _, index in batch}) == 6
    assert len(epoch_batches([[5] * 2], 3, 0, 0)) == 1
