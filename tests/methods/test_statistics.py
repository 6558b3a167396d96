"""Ridge regression from sums: exact, whatever the sessions and their order; and what the sums tell of rows."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from methods import Backbone, InvalidRow
from methods.continual import Learned, Session, continual_method
from methods.continual.reading import Judge
from methods.continual.statistics import MINIMUM, Statistics, check_enough
from methods.heads import RidgeHead
from methods.rows.collation import collate

from .sessions import FIRST, PLAN, SECOND, session, unwatched

WIDTH, LABELS, ROWS = 6, 4, 30


def data(seed: int) -> tuple[Tensor, Tensor]:
    """Features [30, 6] and labels [30] of 4."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, LABELS, (ROWS,), generator=generator)
    return torch.randn(ROWS, WIDTH, generator=generator) + label[:, None], label


def whole(features: Tensor, label: Tensor, ridge: float) -> Tensor:
    """(F^T F + ridge * I)^-1 F^T Y, as a least squares problem with ridge's root below the features; [C, R]."""
    below = ridge**0.5 * torch.eye(features.shape[1], dtype=torch.float64)
    targets = functional.one_hot(label).double()
    stacked = (
        torch.cat([features.double(), below]),
        torch.cat([targets, targets.new_zeros(len(below), targets.shape[1])]),
    )
    return torch.linalg.lstsq(*stacked).solution.T.float()


@pytest.mark.parametrize("cuts", [[], [15], [1, 2, 3], [4, 9, 20], list(range(1, ROWS))], ids=len)
@pytest.mark.parametrize("ridge", [0.1, 10.0])
def test_any_split_and_order_gives_the_regression_of_all_rows(cuts: list[int], ridge: float) -> None:
    """Each session's sums go through the file's single precision."""
    features, label = data(1)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(len(cuts)))
    kept: Statistics | None = None
    for rows in order.tensor_split(cuts):
        known = max(int(label[rows].max()) + 1, len(kept.counts) if kept else 0)  # labels come one after the other
        sums = Statistics.of(iter(zip(features[rows].split(2), label[rows].split(2), strict=True)), known, WIDTH)
        kept = Statistics.kept((kept.plus(sums) if kept else sums).factors())
    assert kept is not None
    torch.testing.assert_close(kept.solved(ridge), whole(features, label, ridge), atol=1e-4, rtol=0)
    assert kept.counts.tolist() == label.bincount(minlength=LABELS).tolist()


def test_a_regression_by_hand() -> None:
    """One feature: 1 and 2 of label 0, 3 of label 1. G = 1 + 4 + 9 = 14, S = (3, 3), ridge 1: both are 3 / 15."""
    sums = Statistics.of(iter([(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 0, 1]))]), 2, 1)
    assert (sums.gram.tolist(), sums.sums.tolist(), sums.counts.tolist()) == ([[14.0]], [[3.0], [3.0]], [2, 1])
    assert sums.solved(1.0).tolist() == [[pytest.approx(0.2)], [pytest.approx(0.2)]]


def test_a_row_of_weight_three_sums_up_as_three_and_is_counted_once() -> None:
    features, label = data(2)
    once = Statistics.of(iter([(features, label)]), LABELS, WIDTH).times(3)
    thrice = Statistics.of(iter([(features, label)] * 3), LABELS, WIDTH)
    torch.testing.assert_close(once.gram, thrice.gram)
    torch.testing.assert_close(once.sums, thrice.sums)
    assert torch.equal(once.counts * 3, thrice.counts)


def test_factors_are_half_a_matrix_and_come_back_whole() -> None:
    """6 * 7 / 2 = 21 numbers for the 36 of the matrix; whole numbers survive single precision as they are."""
    features, label = data(3)
    sums = Statistics.of(iter([(features.round(), label)]), LABELS, WIDTH)
    factors = sums.factors()
    assert {name: tuple(one.shape) for name, one in factors.items()} == {"gram": (21,), "sums": (4, 6), "counts": (4,)}
    again = Statistics.kept(factors)
    for name in ("gram", "sums", "counts"):
        assert torch.equal(getattr(again, name), getattr(sums, name))


def test_new_labels_come_behind_and_the_old_sums_stay_as_they_were() -> None:
    old = Statistics(torch.eye(1), torch.tensor([[1.0]]), torch.tensor([3]))
    both = old.plus(Statistics(torch.eye(1), torch.tensor([[2.0], [5.0]]), torch.tensor([3, 4])))
    assert (both.sums.tolist(), both.counts.tolist()) == ([[3.0], [5.0]], [6, 4])
    assert old.sums.tolist() == [[1.0]]


def test_labels_of_too_few_rows_are_refused(tiny: Backbone) -> None:
    enough = session(tiny, ("secret", "hidden"), MINIMUM).examples
    check_enough(Session(("secret", "hidden"), enough))
    with pytest.raises(InvalidRow, match=r"^1 of 2 labels have fewer than 3 different rows") as caught:
        check_enough(Session(("secret", "hidden"), enough[:-1]))
    assert "head=sessions" in caught.value.hint
    with pytest.raises(InvalidRow, match=r"^1 of 3 labels"):
        check_enough(Session(("secret", "hidden", "never"), enough))


def test_equal_rows_are_one_of_the_rows_that_a_label_needs(tiny: Backbone) -> None:
    one, *others = session(tiny, ("secret",), MINIMUM).examples
    with pytest.raises(InvalidRow, match="1 of 1 labels"):
        check_enough(Session(("secret",), [one] * MINIMUM))
    with pytest.raises(InvalidRow, match="1 of 1 labels"):
        check_enough(Session(("secret",), [one, one, *others[: MINIMUM - 2]]))
    check_enough(Session(("secret",), [one, one, *others]))


def test_two_versions_tell_the_features_of_a_session_of_few_rows(tiny: Backbone) -> None:
    """What the README warns of: the difference of two sums has the rank of the rows between them, and their span."""
    method = continual_method("ridge-random", {"random_features": 64})
    before = method.learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
    few = session(tiny, ("secret",), 3)
    after = method.learn(tiny, before, few, PLAN, unwatched)
    between = Statistics.kept(after.factors).gram - Statistics.kept(before.factors).gram
    sizes, axes = torch.linalg.eigh(between)
    assert int((sizes > 1e-4 * sizes[-1]).sum()) == 3
    assert isinstance(after.head, RidgeHead)
    batch = collate(tiny, few.examples)
    rows = after.head.features(tiny.states(batch), batch).double()
    span = axes[:, -3:]
    torch.testing.assert_close(rows @ span @ span.T, rows, atol=1e-4, rtol=0)
    batch = collate(tiny, session(tiny, SECOND, 1).examples)
    others = after.head.features(tiny.states(batch), batch).double()
    missing = (others - others @ span @ span.T).norm(dim=1) / others.norm(dim=1)
    assert missing.min() > 0.01, "and whether a text was among them"


@pytest.mark.parametrize("name", ["coda", "ridge", "ridge-random", "ncm"])
def test_a_session_of_too_few_rows_teaches_no_sums(tiny: Backbone, name: str) -> None:
    small = continual_method(name, {"layers": "last:2", "read_layers": 1} if name == "coda" else {})
    with pytest.raises(InvalidRow, match="2 of 2 labels have fewer than 3 different rows"):
        small.learn(tiny, None, session(tiny, FIRST, MINIMUM - 1), PLAN, unwatched)


def shuffled(one: Session, part: slice, seed: int) -> Session:
    order = torch.randperm(len(one.examples), generator=torch.Generator().manual_seed(seed)).tolist()
    return Session(one.labels, [one.examples[place] for place in sorted(range(len(order))[part], key=order.index)])


@pytest.mark.parametrize(("name", "size"), [("ridge", 41), ("ridge-random", 24)])
@pytest.mark.parametrize("seed", range(2))
def test_sessions_in_any_order_answer_as_one(tiny: Backbone, name: str, size: int, seed: int) -> None:
    """Labels of 9 rows each, also where a session brings more rows of labels that are known."""
    method = continual_method(name, {"ridge": 0.3, "random_features": 0 if name == "ridge" else size})
    words = (*FIRST, *SECOND)
    everything = session(tiny, words, 9)
    few, many = (shuffled(everything, part, seed) for part in (slice(0, 20), slice(20, 45)))
    own = session(tiny, FIRST, 9)
    orders = [[everything], [few, many], [many, few], [own, few, many]]
    results: list[tuple[Learned, Tensor]] = []
    for order in orders:
        learned: Learned | None = None
        for one in order:
            learned = method.learn(tiny, learned, one, PLAN, unwatched)
        assert learned is not None
        assert isinstance(learned.head, RidgeHead)
        assert learned.head.weight.shape == (5, size)
        results.append((learned, learned.head.weight))
    first = results[0]
    batch = collate(tiny, everything.examples)
    assert isinstance(first[0].head, RidgeHead)
    features = first[0].head.features(tiny.states(batch), batch)
    torch.testing.assert_close(first[1], whole(features, batch.label, 0.3), atol=1e-4, rtol=0)
    for learned, weight in results[1:3]:
        torch.testing.assert_close(weight, first[1], atol=1e-4, rtol=0)
        torch.testing.assert_close(learned.factors["counts"], first[0].factors["counts"])
    assert not torch.allclose(results[3][1], first[1], atol=1e-4)  # rows that came twice count twice
    judge = Judge(tiny, [everything.examples], first[0])
    right = [judge.accuracy(learned, 0, range(5)) for learned, _ in results[:3]]
    assert right[0] == right[1] == right[2] > 0.5
