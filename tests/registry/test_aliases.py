"""Aliases move in one transaction, forward only."""

from dataclasses import replace
from typing import Any

import pytest

from registry import AliasEvent, Conflict, Invalid, Move, NotFound, Registry


def steps(events: list[AliasEvent]) -> list[tuple[int, int | None, int, str]]:
    return [(event.generation, event.old, event.new, event.action) for event in events]


@pytest.fixture
def three(publish: Any) -> None:
    for _ in range(3):
        publish()


@pytest.mark.usefixtures("three")
def test_a_promotion_is_an_event_and_a_new_epoch(registry: Registry) -> None:
    assert registry.epoch() == 0
    (event,) = registry.promote([Move("sentiment:2")], actor="ada", reason="better")
    assert (event.name, event.alias, event.actor, event.reason) == ("sentiment", "production", "ada", "better")
    assert steps([event]) == [(1, None, 2, "set")]
    assert registry.epoch() == 1
    assert registry.resolve("sentiment").number == 2
    registry.promote([Move("sentiment:3")], actor="bob")
    assert steps(registry.history("sentiment")) == [(2, 2, 3, "set"), (1, None, 2, "set")]
    assert registry.history("sentiment")[1] == event
    assert registry.epoch() == 2


@pytest.mark.usefixtures("three")
def test_promoting_what_is_current_changes_nothing_and_returns_its_event(registry: Registry) -> None:
    before = registry.promote([Move("sentiment:2")], actor="ada")
    assert registry.promote([Move("sentiment:2")], actor="bob") == before
    assert registry.promote([Move("sentiment")], actor="bob") == before
    assert registry.epoch() == 1
    assert len(registry.history("sentiment")) == 1


@pytest.mark.usefixtures("three")
def test_several_prompts_move_in_one_epoch_or_not_at_all(registry: Registry, publish: Any) -> None:
    publish("topic")
    with pytest.raises(NotFound, match="'topic' has no version 9"):
        registry.promote([Move("sentiment:1"), Move("topic:9")], actor="ada")
    with pytest.raises(Conflict, match="topic@production is at generation 0, not 5"):
        registry.promote([Move("sentiment:1"), Move("topic:1", expected_generation=5)], actor="ada")
    assert (registry.epoch(), registry.history("sentiment"), registry.history("topic")) == (0, [], [])
    events = registry.promote([Move("topic:1"), Move("sentiment:1"), Move("sentiment:3", "staging")], actor="a")
    assert [(event.name, event.alias) for event in events] == [
        ("topic", "production"),
        ("sentiment", "production"),
        ("sentiment", "staging"),
    ]
    assert registry.epoch() == 1


@pytest.mark.usefixtures("three")
def test_moves_are_read_as_of_before_the_promotion(registry: Registry) -> None:
    registry.promote([Move("sentiment:1"), Move("sentiment:2", "staging")], actor="ada")
    registry.promote([Move("sentiment", "staging"), Move("sentiment@staging")], actor="ada")
    assert registry.resolve("sentiment").number == 2
    assert registry.resolve("sentiment@staging").number == 1


@pytest.mark.usefixtures("three")
def test_an_alias_moves_only_once_in_a_promotion(registry: Registry) -> None:
    with pytest.raises(Invalid, match="several moves of sentiment@production"):
        registry.promote([Move("sentiment:1"), Move("sentiment:2")], actor="ada")


@pytest.mark.usefixtures("three")
def test_whoever_expects_an_older_generation_loses(registry: Registry) -> None:
    registry.promote([Move("sentiment:1", expected_generation=0)], actor="ada")
    registry.promote([Move("sentiment:2", expected_generation=1)], actor="ada")
    for reference in ("sentiment:2", "sentiment:3"):
        with pytest.raises(Conflict, match="at generation 2, not 1: somebody moved it"):
            registry.promote([Move(reference, expected_generation=1)], actor="bob")
    assert registry.resolve("sentiment").number == 2


@pytest.mark.usefixtures("three")
def test_rolling_back_is_a_step_forward_and_twice_toggles(registry: Registry) -> None:
    for number in (1, 2, 3):
        registry.promote([Move(f"sentiment:{number}")], actor="ada")
    rolled = [registry.rollback("sentiment", actor="bob", reason="worse") for _ in range(3)]
    assert steps(rolled) == [(4, 3, 2, "rollback"), (5, 2, 3, "rollback"), (6, 3, 2, "rollback")]
    assert registry.history("sentiment")[0] == rolled[-1]
    assert registry.resolve("sentiment").number == 2
    assert registry.epoch() == 6


@pytest.mark.usefixtures("three")
def test_there_is_nothing_to_roll_back_before_the_second_version(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no production version to roll back"):
        registry.rollback("sentiment", actor="ada")
    registry.promote([Move("sentiment:1")], actor="ada")
    with pytest.raises(Conflict, match="has named no version but sentiment:1"):
        registry.rollback("sentiment", actor="ada")
    with pytest.raises(NotFound, match="unknown prompt 'topic'"):
        registry.rollback("topic", actor="ada")
    assert registry.epoch() == 1


@pytest.mark.usefixtures("three")
def test_a_dry_run_says_what_would_happen_and_writes_nothing(registry: Registry) -> None:
    for number in (1, 2):
        registry.promote([Move(f"sentiment:{number}")], actor="ada")
    (planned,) = registry.promote([Move("sentiment:3")], actor="ada", dry_run=True)
    back = registry.rollback("sentiment", actor="ada", dry_run=True)
    assert steps([planned, back]) == [(3, 2, 3, "set"), (3, 2, 1, "rollback")]
    with pytest.raises(NotFound):
        registry.promote([Move("sentiment:4")], actor="ada", dry_run=True)
    assert (registry.epoch(), registry.resolve("sentiment").number) == (2, 2)
    assert registry.verify_history() == 2


@pytest.mark.usefixtures("three")
def test_lines_of_different_aliases_do_not_mix(registry: Registry) -> None:
    registry.promote([Move("sentiment:1"), Move("sentiment:3", "staging")], actor="ada")
    registry.promote([Move("sentiment:2")], actor="ada")
    assert steps(registry.history("sentiment", "staging")) == [(1, None, 3, "set")]
    assert len(registry.history("sentiment")) == 3
    assert registry.rollback("sentiment", actor="ada").new == 1
    assert registry.resolve("sentiment@staging").number == 3


@pytest.mark.usefixtures("three")
def test_only_a_name_is_an_alias(registry: Registry) -> None:
    with pytest.raises(Invalid, match="'Prod!' is no alias name"):
        registry.promote([Move("sentiment:1", "Prod!")], actor="ada")


@pytest.mark.usefixtures("three")
def test_the_serving_state_is_every_alias_with_its_version(registry: Registry, publish: Any) -> None:
    topic = replace(publish("topic"), card={})
    assert registry.serving_state().aliases == {}
    registry.promote([Move("sentiment:1"), Move("sentiment:1", "staging"), Move("topic:1")], actor="ada")
    state = registry.serving_state()
    first = replace(registry.resolve("sentiment:1"), card={})
    assert state.epoch == 1
    assert state.aliases == {
        ("sentiment", "production"): first,
        ("sentiment", "staging"): first,
        ("topic", "production"): topic,
    }
