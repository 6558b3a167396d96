"""From bytes to a READY version."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from registry import Conflict, IntegrityError, Invalid, NotFound, Parent, Registry

ADA: dict[str, Any] = {"actor": "ada"}


def test_a_published_version_says_what_it_is(registry: Registry) -> None:
    card = {"form": "prefix", "metrics": {"accuracy": 0.875}, "labels": ["bad", "gööd"], "z": 1, "a": None}
    version = registry.publish("sentiment", b"soft", card, idempotency_key="k", message="first", **ADA)
    assert (version.name, version.number, version.state, version.size) == ("sentiment", 1, "READY", 4)
    assert version.reference == "sentiment:1"
    assert version.digest == "sha256:" + sha256(b"soft").hexdigest()
    assert version.card == card
    assert list(version.card) == list(card)
    assert (version.created_by, version.message, version.run_id, version.parents) == ("ada", "first", None, ())
    assert version.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - version.created_at) < timedelta(minutes=1)
    assert registry.resolve("sentiment:1") == version
    assert registry.fetch(version) == registry.fetch_digest(version.digest) == b"soft"


def test_numbers_count_up_for_each_prompt(publish: Any) -> None:
    assert [publish(name).number for name in ("a", "a", "shared/a", "a", "b")] == [1, 2, 1, 3, 1]


def test_the_same_key_gives_the_same_version_and_refuses_other_bytes(registry: Registry) -> None:
    first = registry.publish("a", b"1", {}, idempotency_key="k", **ADA)
    assert registry.publish("a", b"1", {}, idempotency_key="k", **ADA) == first
    with pytest.raises(Conflict, match="already stands for a:1 with sha256:"):
        registry.publish("a", b"2", {}, idempotency_key="k", **ADA)
    assert registry.publish("b", b"2", {}, idempotency_key="k", **ADA).reference == "b:1"
    assert [version.number for version in registry.versions("a")] == [1]


def test_a_version_that_another_one_overtook_is_not_published(registry: Registry, store: str) -> None:
    """Also where the other one came between the number and the bytes."""
    first = registry.publish("a", b"1", {}, idempotency_key="1", after=0, **ADA)
    assert registry.publish("a", b"1", {}, idempotency_key="1", after=0, **ADA) == first, "a retry is no other one"
    assert registry.publish("a", b"2", {}, idempotency_key="2", after=1, **ADA).number == 2
    with pytest.raises(Conflict, match="a:2 was published since this version was begun from a:1") as caught:
        registry.publish("a", b"3", {}, idempotency_key="3", after=1, **ADA)
    assert caught.value.hint == "give the command again, to go on from a:2"
    with pytest.raises(Conflict, match="begun as the first"):
        registry.publish("a", b"3", {}, idempotency_key="3", after=0, **ADA)
    assert [version.number for version in registry.versions("a")] == [2, 1], "not even pending"
    folder, aside = Path(store), Path(f"{store}-aside")
    folder.rename(aside)
    folder.write_text("a file where the folder should be")
    with pytest.raises(ConnectionError):
        registry.publish("a", b"3", {}, idempotency_key="3", after=2, **ADA)
    folder.unlink()
    aside.rename(folder)
    assert registry.publish("a", b"4", {}, idempotency_key="4", after=2, **ADA).number == 4
    with pytest.raises(Conflict, match="a:4 was published since"):
        registry.publish("a", b"3", {}, idempotency_key="3", after=2, **ADA)
    assert [(one.number, one.state) for one in registry.versions("a")][:2] == [(4, "READY"), (3, "PENDING")]


def test_the_same_bytes_under_another_key_are_another_version(publish: Any, registry: Registry) -> None:
    first, second = publish(blob=b"same"), publish(blob=b"same")
    assert (first.number, second.number) == (1, 2)
    assert first.digest == second.digest
    assert registry.resolve(f"sentiment@{first.digest}") == second


def test_a_failing_store_leaves_a_pending_version_that_a_retry_makes_ready(
    registry: Registry, store: str, publish: Any
) -> None:
    Path(store).write_text("a file where the folder should be")
    with pytest.raises(ConnectionError, match=r"the store at .* failed"):
        publish(blob=b"1", idempotency_key="k")
    assert [(version.number, version.state) for version in registry.versions("sentiment")] == [(1, "PENDING")]
    with pytest.raises(NotFound, match="sentiment:1 is not ready"):
        registry.resolve("sentiment:1")
    assert registry.prompts()[0].latest is None
    Path(store).unlink()
    assert publish(blob=b"2", idempotency_key="other").number == 2
    retried = publish(blob=b"1", idempotency_key="k")
    assert (retried.number, retried.state) == (1, "READY")
    assert registry.prompts()[0].latest == 2


def test_a_damaged_or_missing_blob_is_never_handed_out(registry: Registry, publish: Any, store: str) -> None:
    version = publish(blob=b"whole")
    digits = version.digest.removeprefix("sha256:")
    path = Path(store) / "blobs" / "sha256" / digits[:2] / digits
    path.write_bytes(b"whol")
    with pytest.raises(IntegrityError, match="damaged"):
        registry.fetch(version)
    path.unlink()
    with pytest.raises(IntegrityError, match="has no blob"):
        registry.fetch(version)
    publish(blob=b"whole")
    assert registry.fetch(version) == b"whole"


def test_parents_are_remembered_by_name_number_and_role(registry: Registry, publish: Any) -> None:
    shared, before = publish("shared/base"), publish("sentiment")
    child = publish("sentiment", parents=[Parent(shared.id, "shared"), Parent(before.id, "init")])
    assert [(parent.name, parent.number, parent.role) for parent in child.parents] == [
        ("shared/base", 1, "shared"),
        ("sentiment", 1, "init"),
    ]
    assert child.parents[0].digest == shared.digest
    assert registry.versions("sentiment") == [child, before]


def test_a_parent_must_exist_and_be_ready(registry: Registry, publish: Any, store: str) -> None:
    with pytest.raises(NotFound, match="no version has id 4711"):
        publish(parents=[Parent(4711, "init")])
    Path(store).write_text("in the way")
    with pytest.raises(ConnectionError):
        publish("other")
    pending = registry.versions("other")[0]
    with pytest.raises(Invalid, match="not ready"):
        publish(parents=[Parent(pending.id, "init")])
    assert [prompt.name for prompt in registry.prompts()] == ["other"]


def test_a_card_must_be_json(registry: Registry) -> None:
    for card in ({"loss": float("nan")}, {"tensor": object()}):
        with pytest.raises(Invalid, match="the card is not JSON"):
            registry.publish("a", b"", card, idempotency_key="k", **ADA)
    assert registry.prompts() == []


def test_a_prompt_needs_a_name(publish: Any) -> None:
    with pytest.raises(Invalid, match="'Sentiment' is no prompt name"):
        publish("Sentiment")
