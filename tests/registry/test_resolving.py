"""What a reference finds, and what is said when it finds nothing."""

from typing import Any

import pytest

from registry import Invalid, Move, NotFound, Registry


def test_every_form_of_reference_finds_its_version(registry: Registry, publish: Any) -> None:
    first, second = publish(), publish()
    registry.promote([Move("sentiment:1"), Move("sentiment:2", "staging")], actor="ada")
    assert registry.resolve("sentiment") == first
    assert registry.resolve("sentiment@staging") == second
    assert registry.resolve("sentiment:2") == second
    assert registry.resolve(f"sentiment@{first.digest[:15]}") == first
    assert registry.resolve(f"sentiment@{first.digest}") == first


def test_a_short_digest_that_fits_two_versions_is_refused(registry: Registry, publish: Any) -> None:
    # these two blobs were searched for: both digests begin with the same 8 hex digits
    one, other = b"blob 10674", b"blob 15513"
    start = publish(blob=one).digest[:15]
    assert publish(blob=other).digest[:15] == start
    with pytest.raises(Invalid, match="ambiguous: it fits sentiment:2, sentiment:1"):
        registry.resolve(f"sentiment@{start}")


def test_an_unknown_prompt_names_the_nearest(registry: Registry, publish: Any) -> None:
    with pytest.raises(NotFound) as caught:
        registry.resolve("sentiment")
    assert caught.value.hint == "there is no prompt yet"
    publish("sentiment")
    publish("topic")
    with pytest.raises(NotFound, match="unknown prompt 'sentimant'") as caught:
        registry.resolve("sentimant:3")
    assert caught.value.hint == "did you mean sentiment?"
    with pytest.raises(NotFound) as caught:
        registry.resolve("zzz")
    assert caught.value.hint == "known prompts: sentiment, topic"


def test_a_long_list_of_names_is_cut(registry: Registry, publish: Any) -> None:
    for number in range(12):
        publish(f"task-{number:02}")
    with pytest.raises(NotFound) as caught:
        registry.versions("zzz")
    assert caught.value.hint.endswith("task-08, task-09 and 2 more")


def test_a_prompt_without_production_says_how_to_promote(registry: Registry, publish: Any) -> None:
    publish()
    publish()
    with pytest.raises(NotFound, match=r"'sentiment' has no production version yet$") as caught:
        registry.resolve("sentiment")
    assert caught.value.hint == "promote one: promptctl promote sentiment:2"
    registry.promote([Move("sentiment:1", "staging")], actor="ada")
    with pytest.raises(NotFound, match="has no canary version yet; it has staging"):
        registry.resolve("sentiment@canary")


def test_an_unknown_number_or_digest_is_not_found(registry: Registry, publish: Any) -> None:
    publish()
    with pytest.raises(NotFound, match="'sentiment' has no version 2"):
        registry.resolve("sentiment:2")
    with pytest.raises(NotFound, match="'sentiment' has no version sha256:00000000"):
        registry.resolve("sentiment@sha256:00000000")


def test_a_digest_of_another_prompt_is_not_found(registry: Registry, publish: Any) -> None:
    other = publish("topic")
    publish("sentiment")
    with pytest.raises(NotFound):
        registry.resolve(f"sentiment@{other.digest}")


def test_prompts_are_listed_with_their_kind_and_aliases(registry: Registry, publish: Any) -> None:
    for name in ("topic", "shared/base", "topic"):
        publish(name)
    registry.promote([Move("topic:1"), Move("topic:2", "staging")], actor="ada")
    assert [(p.name, p.kind, p.latest, p.aliases) for p in registry.prompts()] == [
        ("shared/base", "shared", 1, {}),
        ("topic", "task", 2, {"production": 1, "staging": 2}),
    ]
