"""Fair timing: every contender once per turn, so that a slow moment of the machine meets all of them."""

import time
from collections.abc import Callable, Sequence
from statistics import median

TURNS = 7


def in_turn(*works: Callable[[], object], turns: int = TURNS) -> list[float]:
    """The median seconds of each, after one turn that does not count."""
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(turns + 1):
        for seconds, work in zip(taken, works, strict=True):
            began = time.perf_counter()
            work()
            if turn:
                seconds.append(time.perf_counter() - began)
    return [median(seconds) for seconds in taken]


def result(name: str, ratio: float, goal: float, compared: str, *, at_most: bool = False) -> dict[str, object]:
    """One line of the report; a goal is a least ratio unless it is said to be the most."""
    ok = ratio <= goal if at_most else ratio >= goal
    return {"name": name, "ratio": round(ratio, 3), "goal": goal, "ok": ok, "compared": compared}


Results = Sequence[dict[str, object]]
