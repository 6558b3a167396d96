"""What --from may say."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.errors import InvalidSpec
from orchestrator.start import Ingredient, ingredients, pinned, versions
from registry import Move, NotFound, Registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Three versions of mood, the second in production, and two of the shared prompt default."""
    with closing(Registry.open(f"sqlite:///{tmp_path}/registry.db", f"{tmp_path}/store")) as opened:
        for name, count in (("mood", 3), ("shared/default", 2), ("topic", 1)):
            for number in range(count):
                opened.publish(name, f"{name} {number}".encode(), {}, idempotency_key=f"{number}", actor="ada")
        opened.promote([Move("mood:2"), Move("mood:3", "staging"), Move("shared/default:1")], actor="ada")
        yield opened


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mood", "mood:2"),
        ("mood:3", "mood:3"),
        ("mood@staging", "mood:3"),
        ("shared:default", "shared/default:2"),
        ("shared:default:1", "shared/default:1"),
        ("shared:default@production", "shared/default:1"),
        ("shared/default:1", "shared/default:1"),
        ("mood:3*0.7,topic:1*0.3", "mood:3*0.7,topic:1*0.3"),
        ("mood*2, shared:default*.5", "mood:2*2,shared/default:2*.5"),
        ("mood,topic:1", "mood:2,topic:1"),
    ],
)
def test_a_start_is_pinned_to_numbers_and_stays_so(registry: Registry, text: str, found: str) -> None:
    assert pinned(registry, text) == found
    assert pinned(registry, found) == found
    assert [version.reference for version in versions(registry, found)] == [
        part.partition("*")[0] for part in found.split(",")
    ]


def test_a_digest_names_a_start(registry: Registry) -> None:
    assert pinned(registry, f"mood@{registry.resolve('mood:1').digest}") == "mood:1"


def test_versions_without_weights_weigh_the_same() -> None:
    assert ingredients("a:1*0.7,b:2*3") == (Ingredient("a:1", "0.7"), Ingredient("b:2", "3"))
    assert [one.weight for one in ingredients("a:1*0.7,b:2*3")] == [0.7, 3.0]
    assert [one.weight for one in ingredients("a,b,c")] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no versions"),
        ("mood,", "names no versions"),
        ("mood*-1", "names no versions"),
        ("mood*half", "names no versions"),
        ("mood * 0.5", "names no versions"),
        ("mood*0.5,topic:1", "gives some versions no weight"),
        ("mood*0,topic:1*1", "gives some versions no weight"),
        ("mood,mood:2", "names a version twice"),
    ],
)
def test_what_names_no_start_is_refused(registry: Registry, text: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as raised:
        pinned(registry, text)
    assert raised.value.hint


@pytest.mark.parametrize("text", ["mood:9", "gone", "shared:gone", "topic", "mood:1,gone:1"])
def test_a_start_that_is_not_there_is_not_found(registry: Registry, text: str) -> None:
    with pytest.raises(NotFound):
        pinned(registry, text)
