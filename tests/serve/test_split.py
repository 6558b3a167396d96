"""Which rows a candidate answers."""

from itertools import pairwise

import pytest

from serve.routing.split import arm

KEYS = [f"customer {number}" for number in range(10_000)]


def candidates(percent: int, candidate: str = "sha256:one", line: str = "sentiment@production") -> set[str]:
    return {key for key in KEYS if arm(line, candidate, percent, key) == "candidate"}


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
@pytest.mark.parametrize("candidate", ["sha256:one", "sha256:two", "sha256:three"])
def test_a_candidate_gets_its_share_of_the_keys(percent: int, candidate: str) -> None:
    got, due = len(candidates(percent, candidate)), percent * 100
    chi_square = (got - due) ** 2 / due + (got - due) ** 2 / (10_000 - due)
    assert chi_square < 10.83  # one degree of freedom, p = 0.001


def test_a_growing_share_loses_no_key() -> None:
    shares = [candidates(percent) for percent in (0, 1, 10, 50, 99)]
    assert shares[0] == set()
    assert all(few < many for few, many in pairwise(shares))


def test_the_next_candidate_and_another_alias_get_keys_of_their_own() -> None:
    one = candidates(10)
    for other in (candidates(10, "sha256:two"), candidates(10, line="sentiment@staging")):
        assert 50 <= len(one & other) <= 150  # 10 % of 10 % of 10,000 keys is 100, its standard deviation about 10


def test_any_key_has_an_arm_and_keeps_it() -> None:
    for key in ("", "\x00", "ключ", "k" * 200):
        assert arm("a@b", "d", 50, key) == arm("a@b", "d", 50, key)
