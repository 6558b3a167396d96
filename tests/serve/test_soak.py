import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from .leaks import Quiet, Soaked
from .soak import soak, world

# 8 phases of 1,000 requests each
STEADY = [Quiet(1000 * n, 10**9 + 4096 * (n % 2), 20 + n % 2, 15 + n % 2, 10, 10**6 + n % 3) for n in range(1, 9)]


def soaked(grow: Callable[[Quiet], Quiet]) -> Soaked:
    return Soaked(Counter({200: 8000}), [grow(one) for one in STEADY])


def test_a_server_that_is_asked_for_everything_again_and_again_keeps_nothing_of_it(tmp_path: Path) -> None:
    with world(tmp_path) as (config, registry):
        seen = asyncio.run(soak(config, registry, 10))
    assert seen.statuses.keys() == {0, 200, 404, 413, 422}  # 0: its caller went away, or it was a promotion
    assert min(seen.statuses.values()) > 3
    assert seen.leaks() == []


def test_noise_is_no_leak() -> None:
    assert soaked(lambda one: one).leaks() == []


@pytest.mark.parametrize(("name", "each"), [("files", 0.001), ("threads", 0.001), ("tasks", 0.001), ("objects", 1)])
def test_a_request_that_leaves_something_behind_is_a_leak(name: str, each: float) -> None:
    def grow(one: Quiet) -> Quiet:
        return Quiet(**vars(one) | {name: getattr(one, name) + round(each * one.requests)})

    assert soaked(grow).leaks() == [name]


def test_memory_that_goes_on_growing_is_a_leak() -> None:
    # 3,000 requests of the second half leave 12 MB behind, and 10 MB are 1 % of what there was
    assert soaked(lambda one: Quiet(**vars(one) | {"rss": one.rss + 4_000 * one.requests})).leaks() == ["memory"]
    assert soaked(lambda one: Quiet(**vars(one) | {"rss": one.rss + 3_000 * one.requests})).leaks() == []


def test_the_slope_is_the_bytes_of_a_request_and_its_error_that_of_the_line() -> None:
    # the second half is at 5, 6, 7 and 8 thousand requests: 100 bytes each, and 1,000 bytes above or below in turn
    above = [0, 0, 0, 0, 1000, -1000, 1000, -1000]
    phases = [Quiet(1000 * n, 100_000 * n + more, 1, 1, 1, 1) for n, more in zip(range(1, 9), above, strict=True)]
    slope, error = Soaked(Counter(), phases).slope
    # requests lie -1500, -500, 500 and 1500 beside their mean, with squares of 5e6 in all; times the noise: -2e6
    assert slope == pytest.approx(100 - 2e6 / 5e6)
    # so 400, -1200, 1200 and -400 bytes are left, with squares of 3.2e6 in all, for two degrees of freedom
    assert error == pytest.approx((3.2e6 / 2 / 5e6) ** 0.5)
