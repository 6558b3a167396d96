"""The outbox: what was committed is in line and nothing else is, and it leaves the line once somebody has it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from registry import Conflict, Invalid, Move, NotFound, Registry
from registry.database import connect
from registry.webhooks.outbox import Delivery, Outcome

LEASE, PAUSE = timedelta(seconds=60), timedelta(seconds=2)
NEVER = "zebrafinch-7720"


@pytest.fixture
def hooked(registry: Registry, publish: Any) -> Registry:
    """Three versions, published before there was a webhook."""
    for _ in range(3):
        publish()
    registry.webhooks.create("ops", "https://ops.example.org/", "sealed", actor="ada")
    return registry


def claimed(registry: Registry, after: timedelta = timedelta(), limit: int = 16) -> list[Delivery]:
    return registry.webhooks.claim(limit, LEASE, now=datetime.now(UTC) + after)


def told(registry: Registry) -> list[dict[str, Any]]:
    return [json.loads(delivery.body) for delivery in claimed(registry)]


def test_each_event_is_told_with_names_numbers_digests_and_the_actor_and_no_text(
    hooked: Registry, publish: Any
) -> None:
    digests = {version.number: version.digest for version in hooked.versions("sentiment")}
    hooked.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada", reason=NEVER)
    hooked.promote([Move("sentiment:2", percent=10)], actor="bob", reason=NEVER)
    hooked.promote([Move("sentiment:2", percent=10)], actor="bob")  # is so already
    hooked.rollback("sentiment", actor="eve", reason=NEVER)
    version = publish("qa", message=NEVER)
    messages = told(hooked)
    assert [one["type"] for one in messages] == [
        *("alias.set", "alias.set", "alias.canary", "alias.rollback", "version.published")
    ]
    assert [one["data"].get("epoch") for one in messages] == [1, 1, 2, 3, None]
    assert hooked.epoch() == 3
    assert messages[2]["data"] == {
        **{"prompt": "sentiment", "actor": "bob", "alias": "production", "generation": 2, "old": 1, "new": 1},
        **{"candidate": 2, "percent": 10, "digest": digests[1], "candidate_digest": digests[2], "epoch": 2},
    }
    said = {"prompt": "qa", "number": 1, "digest": version.digest, "size": version.size, "actor": "ada", "run": None}
    assert messages[4]["data"] == said
    assert NEVER not in json.dumps(messages)
    assert len({one["id"] for one in messages}) == 5


def test_what_was_not_committed_is_not_told(hooked: Registry) -> None:
    hooked.promote([Move("sentiment:1")], actor="ada", dry_run=True)
    with pytest.raises(NotFound):
        hooked.promote([Move("sentiment:1"), Move("sentiment:9", "staging")], actor="ada")
    assert told(hooked) == []


def test_each_webhook_is_told_from_when_it_was_made(hooked: Registry) -> None:
    hooked.promote([Move("sentiment:1")], actor="ada")
    hooked.webhooks.create("later", "https://later.example.org/", "s", actor="ada")
    hooked.promote([Move("sentiment:2")], actor="ada")
    assert sorted(delivery.webhook for delivery in claimed(hooked)) == ["later", "ops", "ops"]


def test_a_claimed_message_is_nobody_elses_until_the_lease_is_over(hooked: Registry) -> None:
    hooked.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    (first,), (second,) = claimed(hooked, limit=1), claimed(hooked)
    assert first.id != second.id
    assert claimed(hooked, LEASE - timedelta(seconds=1)) == []
    hooked.webhooks.settle(first, Outcome(204), PAUSE)
    (again,) = claimed(hooked, LEASE + timedelta(seconds=1))  # whoever had it died
    assert (again.id, again.attempt, again.body) == (second.id, 2, second.body)
    (hook,) = hooked.webhooks.all()
    assert (hook.delivered, hook.waiting, hook.attempts, hook.fault) == (1, 1, 2, "")


def test_what_was_not_taken_is_tried_again_after_a_pause_and_each_attempt_is_kept(
    hooked: Registry, database: str
) -> None:
    hooked.promote([Move("sentiment:1")], actor="ada")
    (first,) = claimed(hooked)
    hooked.webhooks.settle(first, Outcome(503, "answered 503"), PAUSE)
    assert claimed(hooked) == []
    (second,) = claimed(hooked, PAUSE + timedelta(seconds=1))
    assert (second.id, second.attempt) == (first.id, 2)
    assert hooked.webhooks.all()[0].fault == "answered 503"
    hooked.webhooks.settle(second, Outcome(200), PAUSE)
    assert claimed(hooked, timedelta(days=365)) == []
    raw = connect(database)
    with raw.connect() as connection:
        kept = connection.execute(text("SELECT number, status, fault FROM outbox_attempt ORDER BY number")).all()
    raw.dispose()
    assert list(map(tuple, kept)) == [(1, 503, "answered 503"), (2, 200, "")]


def test_who_took_longer_than_the_lease_can_still_say_that_it_arrived_but_not_that_it_failed(hooked: Registry) -> None:
    hooked.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    slow = {delivery.id: delivery for delivery in claimed(hooked)}
    later = LEASE + timedelta(seconds=1)
    one, other = claimed(hooked, later)
    hooked.webhooks.settle(slow[one.id], Outcome(fault="timed out"), -LEASE)  # else it would be due at once
    hooked.webhooks.settle(slow[other.id], Outcome(200), PAUSE)
    assert claimed(hooked, later) == []
    (left,) = claimed(hooked, 2 * later)
    assert left.id == one.id


def test_a_webhook_that_is_deleted_takes_what_waits_along(hooked: Registry) -> None:
    hooked.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    one, other = claimed(hooked)
    hooked.webhooks.settle(one, Outcome(500, "answered 500"), PAUSE)
    assert hooked.webhooks.delete("ops").waiting == 2
    hooked.webhooks.settle(other, Outcome(200), PAUSE)  # it was on its way
    assert hooked.webhooks.all() == []
    with pytest.raises(NotFound, match="unknown webhook 'ops'"):
        hooked.webhooks.delete("ops")
    hooked.webhooks.create("ops", "https://else.example.org/", "s", actor="bob")
    assert told(hooked) == []


def test_only_a_name_is_a_webhook_and_only_once(hooked: Registry) -> None:
    with pytest.raises(Conflict, match="there is a webhook 'ops'"):
        hooked.webhooks.create("ops", "https://x.example.org/", "s", actor="ada")
    with pytest.raises(Invalid, match="'O P S' is no webhook name"):
        hooked.webhooks.create("O P S", "https://x.example.org/", "s", actor="ada")
    with pytest.raises(NotFound, match="unknown webhook 'osp'"):
        hooked.webhooks.address("osp")
    assert hooked.webhooks.address("ops") == ("https://ops.example.org/", "sealed")


def test_many_who_deliver_side_by_side_claim_each_message_once(
    hooked: Registry, database: str, store: str, work: Callable[..., list[str]]
) -> None:
    for number in (1, 2, 3) * 8:
        hooked.promote([Move(f"sentiment:{number}")], actor="ada")
    ids = work("claim", database, store, 4)
    assert len(ids) == len(set(ids)) == 24
