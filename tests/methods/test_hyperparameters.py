"""Numbers that no method can work with are refused by name, before anything is built."""

import pytest

from methods import METHODS, InvalidSetting, method
from methods.baselines import COMPARED
from methods.baselines import method as compared

LONG = [name for name in METHODS if name != "head-only"]


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("length", [0, -3, 10**14])
def test_a_length_is_from_one_to_ten_thousand(name: str, length: int) -> None:
    with pytest.raises(InvalidSetting, match=f"{name}.length: Input should be"):
        method(name, {"length": length})


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_learning_rate_is_finite_and_not_below_zero(name: str, rate: float) -> None:
    with pytest.raises(InvalidSetting, match=r"head_learning_rate: Input should be"):
        compared(name, {"head_learning_rate": rate})


@pytest.mark.parametrize("name", ["mpt", "lora"])
def test_a_rank_is_one_or_more(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name}.rank: Input should be"):
        compared(name, {"rank": 0})
