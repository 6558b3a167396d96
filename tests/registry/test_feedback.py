"""Feedback as numbers: each correction is counted once as accepted and once as what became of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as Refused

from registry import NotFound, Registry, Version
from registry.database import connect
from registry.feedback import Buffer, FeedbackCount, FeedbackTotal, Kind

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=2)
HERE = Buffer("b1", "host http://127.0.0.1:8000")


@pytest.fixture
def version(publish: Any) -> Version:
    return publish()


def count(sequence: int, version: Version, kind: Kind, n: int, at: datetime = NOON) -> FeedbackCount:
    return FeedbackCount(sequence, version.id, kind, n, at)


def became(total: FeedbackTotal) -> dict[str, int]:
    kinds = ("accepted", "learned", "dropped", "expired", "lost", "unsettled")
    return {kind: getattr(total, kind) for kind in kinds if getattr(total, kind)}


def test_counts_add_up_by_prompt_and_version(registry: Registry, publish: Any, version: Version) -> None:
    other, second = publish("qa"), publish()
    counts = [
        count(1, version, "accepted", 5),
        count(2, second, "accepted", 2),
        count(3, other, "accepted", 1),
        count(4, version, "learned", 3),
        count(5, version, "expired", 1, NOON + timedelta(hours=1)),
        count(6, second, "dropped", 2),
    ]
    registry.record_feedback(HERE, counts[:3], actor="ada")
    registry.record_feedback(HERE, counts[3:], actor="ada")
    qa, first, later = registry.feedback()
    assert [total.reference for total in (qa, first, later)] == ["qa:1", "sentiment:1", "sentiment:2"]
    assert became(qa) == {"accepted": 1, "unsettled": 1}
    assert became(first) == {"accepted": 5, "learned": 3, "expired": 1, "unsettled": 1}  # 5 - 3 - 1
    assert became(later) == {"accepted": 2, "dropped": 2}
    assert (first.last_at, later.last_at) == (NOON + timedelta(hours=1), NOON)
    assert registry.feedback("sentiment") == [first, later]
    with pytest.raises(NotFound, match="unknown prompt 'sentimant'"):
        registry.feedback("sentimant")


def test_a_count_that_is_sent_again_is_counted_once(registry: Registry, version: Version) -> None:
    counts = [count(1, version, "accepted", 5), count(2, version, "learned", 2)]
    registry.record_feedback(HERE, counts, actor="ada")
    registry.record_feedback(HERE, [*counts, count(3, version, "learned", 1)], actor="ada")
    (total,) = registry.feedback()
    assert became(total) == {"accepted": 5, "learned": 3, "unsettled": 2}


def test_what_the_former_process_of_a_server_never_settled_is_lost(
    registry: Registry, publish: Any, version: Version
) -> None:
    second = publish()
    counts = [
        count(1, version, "accepted", 5),
        count(2, version, "learned", 2),
        count(3, second, "accepted", 4),
    ]
    registry.record_feedback(HERE, counts, actor="ada")
    after = Buffer("b2", HERE.owner)
    assert registry.lose_feedback(after, LONG_AGO, actor="ada") == 7  # 5 - 2 of the first, 4 of the second
    assert registry.lose_feedback(after, LONG_AGO, actor="ada") == 0
    first, later = registry.feedback()
    assert became(first) == {"accepted": 5, "learned": 2, "lost": 3}
    assert became(later) == {"accepted": 4, "lost": 4}


def test_the_buffer_of_another_server_is_left_alone_until_nothing_may_be_held_in_it(
    registry: Registry, version: Version
) -> None:
    registry.record_feedback(HERE, [count(1, version, "accepted", 5)], actor="ada")
    elsewhere = Buffer("b2", "host http://127.0.0.1:9000")
    registry.record_feedback(elsewhere, [count(1, version, "accepted", 1)], actor="ada")
    assert registry.lose_feedback(elsewhere, NOON, actor="ada") == 0
    assert registry.lose_feedback(elsewhere, NOON + timedelta(seconds=1), actor="ada") == 5
    (total,) = registry.feedback()
    assert became(total) == {"accepted": 6, "lost": 5, "unsettled": 1}


def test_what_was_lost_is_not_settled_again_by_a_process_that_lives_on(registry: Registry, version: Version) -> None:
    registry.record_feedback(HERE, [count(1, version, "accepted", 5)], actor="ada")
    registry.lose_feedback(Buffer("b2", HERE.owner), LONG_AGO, actor="ada")
    registry.record_feedback(HERE, [count(2, version, "learned", 5)], actor="ada")
    registry.record_feedback(HERE, [count(3, version, "accepted", 2), count(4, version, "learned", 9)], actor="ada")
    (total,) = registry.feedback()
    assert became(total) == {"accepted": 7, "lost": 5, "learned": 2}
    registry.record_feedback(HERE, [count(5, version, "accepted", 1)], actor="ada")
    assert registry.lose_feedback(Buffer("b3", HERE.owner), LONG_AGO, actor="ada") == 1


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE feedback_count SET n = 9", "append-only"),
        ("DELETE FROM feedback_count", "append-only"),
        ("UPDATE feedback_buffer SET owner = 'eve'", "append-only"),
        ("DELETE FROM feedback_buffer", "append-only"),
        (
            "INSERT INTO feedback_count (buffer_id, sequence, version_id, kind, n, actor, at) "
            "SELECT buffer_id, 2, version_id, 'lost', 0, actor, at FROM feedback_count",
            r"(?i)check",
        ),
        (
            "INSERT INTO feedback_count (buffer_id, sequence, version_id, kind, n, actor, at) "
            "SELECT buffer_id, 2, version_id, 'the text', 1, actor, at FROM feedback_count",
            r"(?i)check",
        ),
    ],
)
def test_the_database_refuses_to_change_a_count(
    raw: Engine, registry: Registry, version: Version, statement: str, reason: str
) -> None:
    registry.record_feedback(HERE, [count(1, version, "accepted", 5)], actor="ada")
    with pytest.raises(Refused, match=reason), raw.begin() as connection:
        connection.execute(text(statement))
    assert [became(total) for total in registry.feedback()] == [{"accepted": 5, "unsettled": 5}]
