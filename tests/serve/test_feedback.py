"""The buffer, step by step, on a clock that is turned by hand."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.feedback import Kind
from serve.errors import Invalid, NotFound, Overloaded
from serve.feedback.buffer import FeedbackBuffer, Lease, Limits
from serve.feedback.correction import Correction

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
LIMITS = Limits(rows=5, nbytes=60, held=timedelta(hours=24), leased=timedelta(minutes=30))
CANARY = "zebrafinch-7719"


class Scene:
    """A buffer, the clock that it looks at, and the steps that it told."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.now = NOON
        self.steps: Counter[tuple[int, Kind]] = Counter()
        self.buffer = FeedbackBuffer(self._step, limits, lambda: self.now)

    def _step(self, version_id: int, kind: Kind) -> None:
        self.steps[version_id, kind] += 1

    def accept(self, *texts: str, prompt: str = "sentiment", version: int = 1) -> None:
        for text in texts:
            self.buffer.accept(correction(text, prompt, version))

    def borrow(self, prompt: str = "sentiment", limit: int | None = None) -> Lease:
        lease = self.buffer.lease(prompt, limit)
        assert lease is not None
        return lease

    def kinds(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (_, kind), n in self.steps.items():
            found[kind] += n
        return dict(found)


def correction(text: str, prompt: str = "sentiment", version: int = 1) -> Correction:
    return Correction(prompt, f"{prompt}:{version}", version, {"text": text}, "+")


def texts(lease: Lease) -> list[str]:
    return [held.correction.fields.get("text", "gone") for held in lease.rows]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_is_accepted_waits_by_prompt_and_is_held_no_longer_than_said(scene: Scene) -> None:
    first = scene.buffer.accept(correction("a"))
    second = scene.buffer.accept(correction("b"))
    other = scene.buffer.accept(correction("c", "topic"))
    assert first.held_until == datetime(2026, 5, 2, 12, tzinfo=UTC)
    assert [receipt.waiting for receipt in (first, second, other)] == [1, 2, 1]
    assert scene.buffer.holdings().waiting == {"sentiment": 2, "topic": 1}
    assert scene.buffer.holdings().nbytes == 6  # three texts and three labels of one byte each
    scene.now = first.held_until - timedelta(microseconds=1)
    scene.buffer.sweep()
    assert scene.buffer.holdings().waiting.total() == 3
    scene.now = first.held_until
    scene.buffer.sweep()
    assert scene.buffer.holdings().waiting.total() == 0
    assert scene.kinds() == {"accepted": 3, "expired": 3}


@pytest.mark.parametrize("full_of", [["a", "b", "c", "d", "e"], ["a" * 58]])  # 5 rows; 58 bytes and a label: 59 of 60
def test_a_full_buffer_refuses_and_drops_nothing(scene: Scene, full_of: list[str]) -> None:
    scene.accept(*full_of)
    scene.now += timedelta(hours=23, minutes=59, seconds=30)
    with pytest.raises(Overloaded, match=f"^{len(full_of)} corrections with") as raised:
        scene.accept("bc")
    assert raised.value.retry_after_s == 30  # the oldest goes at 12:00:00; it is 11:59:30.25
    assert texts(scene.borrow()) == full_of
    with pytest.raises(Overloaded):  # what is on loan still takes room
        scene.accept("bc")


def test_a_lease_lends_the_oldest_rows_of_one_prompt_once(scene: Scene) -> None:
    scene.accept("a", "b")
    scene.accept("x", prompt="topic")
    scene.accept("c")
    lease = scene.borrow(limit=2)
    assert texts(lease) == ["a", "b"]
    assert lease.until == NOON + timedelta(minutes=30)
    assert texts(scene.borrow()) == ["c"]
    assert scene.buffer.lease("sentiment") is None
    assert scene.buffer.lease("nobody") is None
    assert (scene.buffer.holdings().leased, scene.buffer.holdings().waiting) == (3, {"topic": 1})


@pytest.mark.parametrize("outcome", ["learned", "dropped"])
def test_a_settled_lease_is_forgotten_and_counted_for_the_version_that_erred(scene: Scene, outcome: Kind) -> None:
    scene.accept("a", version=1)
    scene.accept("b", "c", version=2)
    assert outcome in ("learned", "dropped")
    assert scene.buffer.settle(scene.borrow().id, outcome) == 3
    assert scene.steps == {(1, "accepted"): 1, (2, "accepted"): 2, (1, outcome): 1, (2, outcome): 2}
    assert (scene.buffer.holdings().leased, scene.buffer.holdings().nbytes) == (0, 0)


def test_returned_rows_wait_again_in_their_order(scene: Scene) -> None:
    scene.accept("a", "b")
    lease = scene.borrow()
    scene.accept("c")
    assert scene.buffer.settle(lease.id, "returned") == 2
    assert texts(scene.borrow()) == ["a", "b", "c"]
    assert scene.kinds() == {"accepted": 3}


def test_settling_again_changes_nothing_and_settling_otherwise_is_refused(scene: Scene) -> None:
    scene.accept("a")
    lease = scene.borrow()
    assert [scene.buffer.settle(lease.id, "learned") for _ in range(2)] == [1, 1]
    with pytest.raises(Invalid, match="was settled as learned already"):
        scene.buffer.settle(lease.id, "returned")
    with pytest.raises(NotFound, match="no such lease"):
        scene.buffer.settle("other", "learned")
    assert scene.kinds() == {"accepted": 1, "learned": 1}


def test_a_lease_that_times_out_gives_its_rows_back(scene: Scene) -> None:
    scene.accept("a")
    lease = scene.borrow()
    scene.now = lease.until - timedelta(microseconds=1)
    assert scene.buffer.lease("sentiment") is None
    scene.now = lease.until
    scene.buffer.sweep()
    for act in (lambda: scene.buffer.settle(lease.id, "learned"), lambda: scene.buffer.lent(lease.id)):
        with pytest.raises(NotFound, match="it has timed out"):
            act()
    assert texts(scene.borrow()) == ["a"]


def test_what_timed_out_is_lent_again_alone_and_under_its_name_until_it_is_settled(scene: Scene) -> None:
    """So a trainer that learned it, and could not say so, knows it again."""
    scene.accept("a", "b")
    lease = scene.borrow()
    scene.now = lease.until
    scene.accept("c")
    again = scene.borrow(limit=1)
    assert (again.id, texts(again)) == (lease.id, ["a", "b"])
    assert texts(scene.borrow()) == ["c"]
    assert scene.buffer.settle(lease.id, "returned") == 2
    assert scene.borrow().id != lease.id


def test_equal_corrections_of_a_label_are_one_where_a_label_needs_several(scene: Scene) -> None:
    scene.accept("Fine day", "fine  day", "fine day")
    assert scene.buffer.lease("sentiment", per_label=2) is None
    scene.accept("a dull day")
    lease = scene.buffer.lease("sentiment", per_label=2)
    assert lease is not None
    assert len(lease.rows) == 4


@pytest.mark.parametrize(("outcome", "counted"), [("learned", "learned"), ("returned", "expired")])
def test_text_goes_when_its_time_is_up_even_on_loan(scene: Scene, outcome: Kind, counted: Kind) -> None:
    scene.accept("a")
    scene.now += timedelta(hours=23, minutes=50)
    scene.accept("b")
    lease = scene.borrow()
    scene.now += timedelta(minutes=10)  # the lease runs on for 20 minutes
    scene.buffer.sweep()
    assert [held.correction.fields for held in scene.buffer.lent(lease.id)] == [{}, {"text": "b"}]
    assert scene.buffer.holdings().nbytes == 2
    assert scene.buffer.settle(lease.id, outcome) == 2  # pyright: ignore[reportArgumentType] - an outcome of the two
    assert scene.steps[1, counted] == (2 if outcome == "learned" else 1)
    assert scene.buffer.holdings().waiting.total() == (0 if outcome == "learned" else 1)


def test_what_is_left_at_the_end_is_lost_on_loan_or_not(scene: Scene) -> None:
    scene.accept("a", "b", "c")
    scene.borrow(limit=2)
    scene.buffer.close()
    assert scene.kinds() == {"accepted": 3, "lost": 3}
    assert scene.buffer.holdings().nbytes == 0


def test_nothing_that_a_user_wrote_is_printed(scene: Scene) -> None:
    said = Correction("sentiment", "sentiment:1", 1, {"text": CANARY}, CANARY)
    scene.buffer.accept(said)
    lease = scene.borrow()
    assert CANARY not in repr(said) + repr(lease) + str(lease.rows)
    assert said.nbytes == 30  # 15 and 15
    assert said.emptied() == Correction("sentiment", "sentiment:1", 1, {}, "")


Act = st.one_of(
    st.tuples(st.just("accept"), st.integers(0, 1)),
    st.tuples(st.just("lease"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["learned", "returned", "dropped"]), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 31, 700, 1440])),  # minutes
)


@given(st.lists(Act, max_size=40))
def test_whatever_happens_every_row_is_held_or_settled_once(acts: list[tuple[str, int]]) -> None:
    scene, leases = Scene(), list[Lease]()
    for act, number in acts:
        match act:
            case "accept" if len(scene.buffer._held) < LIMITS.rows:
                scene.accept("a", prompt=("sentiment", "topic")[number], version=number)
            case "lease":
                leases += [lease for lease in [scene.buffer.lease("sentiment", number)] if lease]
            case "learned" | "returned" | "dropped" if number < len(leases):
                lease = leases.pop(number)
                if scene.now < lease.until:
                    assert scene.buffer.settle(lease.id, act) == len(lease.rows)
            case "wait":
                scene.now += timedelta(minutes=number)
        scene.buffer.sweep()
        holdings, kinds = scene.buffer.holdings(), scene.kinds()
        settled = sum(n for kind, n in kinds.items() if kind != "accepted")
        assert holdings.waiting.total() + holdings.leased == kinds.get("accepted", 0) - settled
        assert all(scene.now < held.until for held in scene.buffer._held.values() if held.correction.fields)
