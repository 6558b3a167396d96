"""What a correction may break, on numbers worked out by hand."""

import pytest

from orchestrator.continual.gate import Held, check
from orchestrator.errors import Refused

KEPT = Held(100, 80, 80)


def passes(sessions: dict[str, Held], others: Held, margin: float = 0.003, right: int = 9) -> None:
    check(right, 10, sessions, others, margin)


def test_the_margin_is_of_all_held_out_rows_and_of_those_of_labels_that_nobody_corrected() -> None:
    """3 of 1000 rows are 0.003 of them, 4 are more; 2 of 500 are 0.004."""
    passes({"a": Held(1000, 800, 797)}, Held(1000, 800, 797))
    with pytest.raises(Refused, match=r"all sessions: right answers fall from 800 to 796 of 1000, .* than 0\.003"):
        passes({"a": Held(1000, 800, 796)}, Held(0, 0, 0))
    with pytest.raises(Refused, match="nobody corrected: right answers fall from 400 to 398 of 500"):
        passes({"a": Held(1000, 800, 798)}, Held(500, 400, 398))


def test_no_small_session_goes_under_in_the_mean_of_all() -> None:
    """6 rows of 2006 are 0.003 of them; of 6 rows, one may go, which is more than 0.03, and no second one."""
    large = Held(2000, 1500, 1500)
    passes({"small": Held(6, 5, 4), "large": large}, Held(2006, 1505, 1504))
    with pytest.raises(Refused, match=r"session small: right answers fall from 5 to 3 of 6, .* than 0\.03"):
        passes({"small": Held(6, 5, 3), "large": large}, Held(2006, 1505, 1503))
    passes({"middle": Held(100, 80, 77), "large": large}, Held(2100, 1580, 1577), margin=0.004)
    with pytest.raises(Refused, match="session middle"):
        passes({"middle": Held(100, 80, 75), "large": large}, Held(2100, 1580, 1575), margin=0.004)


def test_where_every_label_is_corrected_all_held_out_rows_still_count() -> None:
    with pytest.raises(Refused, match="from 5 to 0 of 6"):
        passes({"a": Held(6, 5, 0)}, Held(0, 0, 0), margin=0.01)


@pytest.mark.parametrize("sessions", [{}, {"a": Held(0, 0, 0)}], ids=["no session", "no row"])
def test_without_a_held_out_row_nothing_passes(sessions: dict[str, Held]) -> None:
    with pytest.raises(Refused, match="no held-out row") as caught:
        passes(sessions, Held(0, 0, 0), margin=1.0)
    assert "task add" in caught.value.hint


def test_nine_in_ten_corrections_are_right() -> None:
    passes({"a": KEPT}, KEPT)
    with pytest.raises(Refused, match="8 of 10 corrections are right, not 90%"):
        passes({"a": KEPT}, KEPT, right=8)
