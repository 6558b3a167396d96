"""Many processes at once, on both databases."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from registry import Move, Registry

Work = Callable[..., list[str]]


def test_parallel_publishers_get_contiguous_numbers(database: str, store: str, work: Work) -> None:
    numbers = work("publish", database, store, 8, 25, "")
    assert sorted(map(int, numbers)) == list(range(1, 201))
    registry = Registry.open(database, store)
    assert {version.state for version in registry.versions("race")} == {"READY"}
    registry.close()


def test_parallel_publishers_of_one_key_get_one_version(database: str, store: str, work: Work) -> None:
    assert Counter(work("publish", database, store, 8, 3, "same")) == {"1": 24}
    registry = Registry.open(database, store)
    assert [(version.number, version.state) for version in registry.versions("race")] == [(1, "READY")]
    registry.close()


def test_parallel_promoters_leave_a_linear_history(
    registry: Registry, publish: Any, database: str, store: str, work: Work
) -> None:
    publish("race")
    publish("race")
    outcome = Counter(work("promote", database, store, 8, 15))
    assert outcome["won"] + outcome["lost"] == 120
    assert outcome["lost"] > 0
    events = registry.history("race")[::-1]
    assert [event.generation for event in events] == list(range(1, outcome["won"] + 1))
    assert [event.old for event in events] == [None, *(event.new for event in events[:-1])]
    assert registry.epoch() == registry.verify_history() == outcome["won"]
    assert registry.resolve("race").number == events[-1].new
    assert registry.promote([Move("race")], actor="ada") == [events[-1]]
