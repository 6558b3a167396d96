"""Which rows make which batch."""

from collections import Counter
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from methods.rows.batches import TOKENS, WASTE, batches_per_epoch, epoch_batches, micro_batches

Lengths = st.lists(st.lists(st.integers(3, 60), min_size=1, max_size=90), min_size=1, max_size=3)


@given(Lengths, st.integers(1, 40), st.integers(0, 5))
def test_every_row_comes_once_an_epoch(lengths: list[list[int]], size: int, epoch: int) -> None:
    batches = epoch_batches(lengths, size, 3, epoch)
    rows = Counter(chain.from_iterable(batches))
    assert len(batches) == batches_per_epoch(lengths, size)
    assert all(batches)
    assert rows == {(task, index): 1 for task, of_task in enumerate(lengths) for index in range(len(of_task))}


def test_every_batch_holds_every_task_in_proportion() -> None:
    batches = epoch_batches([[5] * 300, [40] * 100], 40, 0, 0)
    assert len(batches) == 10
    assert {Counter(task for task, _ in batch)[0] for batch in batches} == {30}
    assert {Counter(task for task, _ in batch)[1] for batch in batches} == {10}


def test_order_depends_on_seed_and_epoch() -> None:
    lengths = [[5] * 64]
    assert epoch_batches(lengths, 8, 1, 0) == epoch_batches(lengths, 8, 1, 0)
    assert epoch_batches(lengths, 8, 1, 0) != epoch_batches(lengths, 8, 1, 1)
    assert epoch_batches(lengths, 8, 1, 0) != epoch_batches(lengths, 8, 2, 0)


@given(st.lists(st.integers(1, 500), max_size=80))
def test_micro_batches_hold_every_row_and_little_padding(lengths: list[int]) -> None:
    groups = list(micro_batches(lengths))
    assert sorted(chain.from_iterable(groups)) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * max(lengths[index] for index in group)
        assert len(group) == 1 or padded <= min(TOKENS, WASTE * sum(lengths[index] for index in group))


def test_length_buckets_save_padding() -> None:
    """Lengths 1..64 shuffled: padded naively in 8 batches of 8, about half of all tokens would be padding."""
    lengths = [[(37 * n) % 64 + 1 for n in range(64)]]
    batches = epoch_batches(lengths, 8, 0, 0)
    padded = sum(len(batch) * max(lengths[0][index] for _, index in batch) for batch in batches)
    assert padded <= 1.15 * sum(lengths[0])
