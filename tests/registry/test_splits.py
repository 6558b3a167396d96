"""Candidates beside the version of an alias: each step is an event, and all of them end in one of two ways."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError as Refused

from registry import AliasEvent, Conflict, IntegrityError, Invalid, Move, NotFound, Registry, ServingState
from registry.database import connect


def steps(events: list[AliasEvent]) -> list[tuple[int | None, int, str, int | None, int | None]]:
    return [(event.old, event.new, event.action, event.candidate, event.percent) for event in events]


@pytest.fixture
def promoted(registry: Registry, publish: Any) -> Registry:
    """Four versions, the second in production after the first."""
    for _ in range(4):
        publish()
    registry.promote([Move("sentiment:1")], actor="ada")
    registry.promote([Move("sentiment:2")], actor="ada")
    return registry


def canary(reference: str, percent: int, **more: Any) -> Move:
    return Move(reference, percent=percent, **more)


def test_a_candidate_leaves_the_alias_where_it_is(promoted: Registry) -> None:
    (event,) = promoted.promote([canary("sentiment:3", 10)], actor="ada", reason="try it")
    assert steps([event]) == [(2, 2, "canary", 3, 10)]
    assert (event.generation, event.reason, promoted.epoch()) == (3, "try it", 3)
    assert promoted.resolve("sentiment").number == 2
    state = promoted.serving_state()
    assert state.aliases["sentiment", "production"].number == 2
    split = state.splits["sentiment", "production"]
    assert (split.candidate.reference, split.candidate.card, split.percent) == ("sentiment:3", {}, 10)
    promoted.promote([canary("sentiment:3", 50)], actor="ada")
    assert promoted.serving_state().splits["sentiment", "production"].percent == 50
    assert promoted.verify_history() == 4


def test_all_rows_for_the_candidate_make_it_the_aliass_version(promoted: Registry) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    (event,) = promoted.promote([canary("sentiment:3", 100)], actor="ada")
    assert steps([event]) == [(2, 3, "set", None, None)]
    assert (promoted.resolve("sentiment").number, promoted.serving_state().splits) == (3, {})
    assert promoted.rollback("sentiment", actor="ada").new == 2


def test_no_rows_for_the_candidate_end_it(promoted: Registry) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    (event,) = promoted.promote([canary("sentiment:3", 0)], actor="ada")
    assert steps([event]) == [(2, 2, "stop", None, None)]
    assert promoted.serving_state().splits == {}
    assert promoted.promote([canary("sentiment:3", 0)], actor="ada") == [event]
    assert promoted.epoch() == 4


def test_all_rows_for_the_aliass_own_version_end_it_too(promoted: Registry) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    assert steps(promoted.promote([Move("sentiment:2")], actor="ada")) == [(2, 2, "stop", None, None)]
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    assert steps(promoted.promote([Move("sentiment:4")], actor="ada")) == [(2, 4, "set", None, None)]


def test_rolling_back_ends_the_candidate_first_and_then_moves_the_alias(promoted: Registry) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    promoted.promote([canary("sentiment:3", 20)], actor="ada")
    rolled = [promoted.rollback("sentiment", actor="bob") for _ in range(3)]
    assert steps(rolled) == [
        (2, 2, "rollback", None, None),
        (2, 1, "rollback", None, None),
        (1, 2, "rollback", None, None),
    ]
    assert promoted.epoch() == promoted.verify_history() == 7


def test_a_shadow_has_no_rows_of_its_own(promoted: Registry) -> None:
    (event,) = promoted.promote([Move("sentiment:3", shadow=True)], actor="ada")
    assert steps([event]) == [(2, 2, "shadow", 3, 0)]
    assert promoted.serving_state().splits["sentiment", "production"].percent == 0
    assert promoted.promote([Move("sentiment:3", shadow=True)], actor="ada") == [event]
    assert steps(promoted.promote([canary("sentiment:3", 5)], actor="ada")) == [(2, 2, "canary", 3, 5)]


def test_the_same_split_again_changes_nothing(promoted: Registry) -> None:
    first = promoted.promote([canary("sentiment:3", 10)], actor="ada")
    assert promoted.promote([canary("sentiment:3", 10)], actor="bob") == first
    assert promoted.epoch() == 3
    planned = promoted.promote([canary("sentiment:3", 11)], actor="bob", dry_run=True)
    assert steps(planned) == [(2, 2, "canary", 3, 11)]
    assert promoted.epoch() == promoted.verify_history() == 3


def test_whoever_expects_an_older_generation_loses(promoted: Registry) -> None:
    promoted.promote([canary("sentiment:3", 10, expected_generation=2)], actor="ada")
    with pytest.raises(Conflict, match="at generation 3, not 2: somebody moved it"):
        promoted.promote([canary("sentiment:4", 10, expected_generation=2)], actor="bob")


@pytest.mark.parametrize(
    ("move", "error", "said"),
    [
        (canary("sentiment:2", 10), Conflict, "sentiment@production names sentiment:2 itself"),
        (canary("sentiment:2", 0), Conflict, "sentiment@production names sentiment:2 itself"),
        (canary("sentiment:4", 0), Conflict, "the candidate of sentiment@production is sentiment:3, not sentiment:4"),
        (canary("sentiment:3", 10, alias="staging"), NotFound, "sentiment@staging names no version yet"),
        (Move("sentiment:3", "staging", shadow=True), NotFound, "sentiment@staging names no version yet"),
        (canary("sentiment:3", 101), Invalid, "0 to 100, not 101"),
        (canary("sentiment:3", -1), Invalid, "0 to 100, not -1"),
        (canary("sentiment:3", 10, shadow=True), Invalid, "a shadow gets no percent of the rows"),
        (canary("sentiment:9", 10), NotFound, "has no version 9"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    promoted: Registry, move: Move, error: type[Exception], said: str
) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    with pytest.raises(error, match=said):
        promoted.promote([Move("sentiment:1", "other"), move], actor="ada")
    assert promoted.epoch() == 3


def test_the_database_itself_refuses_half_a_split(promoted: Registry, database: str) -> None:
    raw = connect(database)
    for change in ("candidate = 3", "percent = 10", "candidate = 3, percent = 100", "candidate = 9, percent = 10"):
        with pytest.raises(Refused), raw.begin() as connection:
            connection.execute(text(f"UPDATE alias SET {change}"))
    raw.dispose()


def test_a_candidate_that_was_changed_in_the_history_shows(promoted: Registry, database: str) -> None:
    promoted.promote([canary("sentiment:3", 10)], actor="ada")
    raw = connect(database)
    with raw.begin() as connection:
        if raw.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE alias_event DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER alias_event_frozen_update"))
        connection.execute(text("UPDATE alias_event SET candidate = 4 WHERE candidate = 3"))
    raw.dispose()
    with pytest.raises(IntegrityError, match="broken at event 3"):
        promoted.verify_history()


def test_what_changed_since_a_head_and_nothing_else_makes_the_new_state(promoted: Registry, publish: Any) -> None:
    publish("topic")
    promoted.promote([Move("topic:1"), Move("sentiment:1", "staging")], actor="ada")
    before = promoted.serving_state()
    assert promoted.serving_state(before.head).aliases == {}
    line, staging, new = (("sentiment", alias) for alias in ("production", "staging", "new"))
    for moves, changed in (
        ([canary("sentiment:3", 10)], {line}),
        ([Move("sentiment:4", "new"), Move("sentiment:3", "staging")], {new, staging}),
        ([canary("sentiment:3", 0)], {line}),
        ([Move("sentiment:3")], {line}),
    ):
        promoted.promote(moves, actor="ada")
        changes = promoted.serving_state(before.head)
        assert (changes.whole, changes.aliases.keys()) == (False, changed)
        before = before.changed(changes)
        assert before == promoted.serving_state()


def test_of_another_history_the_whole_state_is_told(promoted: Registry) -> None:
    whole = promoted.serving_state()
    for head in (None, "", "f" * 64):
        assert promoted.serving_state(head) == whole
    assert ServingState(9, {("other", "production"): promoted.resolve("sentiment")}).changed(whole) == whole


def test_none_is_the_name_of_no_prompt_and_no_task(registry: Registry, publish: Any) -> None:
    with pytest.raises(Invalid, match="a prompt cannot be named 'none': that is the backbone without a prompt"):
        publish("none")
    with pytest.raises(Invalid, match="a task cannot be named 'none'"):
        registry.put_task("none", {}, actor="ada")
