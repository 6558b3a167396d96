import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from methods import Backbone, Prefix
from registry import Registry
from tests.backbones import tiny_bert
from tests.published import pool, published, soft

Run = Callable[..., Result]
DATA: dict[str, Any] = {"mood": {"rows": {"train": 480, "test": 160}, "sha256": {"train": "a" * 64, "test": "b" * 64}}}
MORE: dict[str, Any] = {"mood": {"rows": {"train": 500, "test": 160}, "sha256": {"train": "c" * 64, "test": "b" * 64}}}


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        yield opened


def differences(run: Run, *arguments: str) -> dict[str, Any]:
    result = run("prompt", "diff", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["difference"]


def facts(found: dict[str, Any]) -> dict[str, tuple[object, object, float | None]]:
    return {one["what"]: (one["a"], one["b"], one["difference"]) for one in found["facts"]}


def test_what_differs_is_shown_with_both_values_and_what_is_equal_is_not(
    run: Run, registry: Registry, tiny: Backbone
) -> None:
    """All 200 numbers go from 3 to 4: sqrt(200), a third of sqrt(9 * 200)."""
    one = {"metrics": {"accuracy": 0.5, "loss": 1.5}, "data": DATA, "training": {"epochs": 5, "seed": 0}}
    other = {"metrics": {"accuracy": 0.75, "loss": 1.5}, "data": MORE, "training": {"epochs": 9, "seed": 0}}
    published(registry, tiny, "mood", soft(3.0), **one, hyperparameters={"length": 5, "init": "random"})
    published(registry, tiny, "mood", soft(4.0), **other, hyperparameters={"length": 5, "init": "text"})
    found = differences(run, "mood:1", "mood:2")
    assert facts(found) == {
        "metrics.accuracy": (0.5, 0.75, 0.25),
        "hyperparameters.init": ("random", "text", None),
        "data.mood.rows.train": (480, 500, 20),
        "data.mood.sha256.train": ("a" * 64, "c" * 64, None),
        "training.epochs": (5, 9, 4),
    }
    (distance,) = found["tensors"]
    assert (distance["tensor"], distance["layer"]) == ("soft prompt", None)
    assert distance["l2"] == pytest.approx(200**0.5)
    assert distance["relative"] == pytest.approx(1 / 3)
    assert distance["cosine"] == pytest.approx(1)
    assert (found["a"], found["b"], found["equal"]) == ("mood:1", "mood:2", False)


def test_the_table_has_the_facts_and_behind_an_empty_line_the_tensors(
    run: Run, registry: Registry, tiny: Backbone
) -> None:
    ours = torch.ones(2, 2, 4, 5, 10)
    published(registry, tiny, "mood", Prefix(ours, (0, 2)), data=DATA, method="mpt")
    published(registry, tiny, "mood", Prefix(torch.cat([ours[:1], 2 * ours[1:]]), (0, 2)), data=MORE, head=1.0)
    said, tensors = run("prompt", "diff", "mood:1", "mood:2").stdout.split("\n\n")
    assert said.splitlines() == [
        "method\tmpt\tprompt-tuning\t",
        "data.mood.rows.train\t480\t500\t20",
        f"data.mood.sha256.train\t{'a' * 12}\t{'c' * 12}\t",
    ]
    assert tensors.splitlines() == [
        "encoder prefix\t\t20\t0.7071\t0.9487",
        "encoder prefix\t2\t20\t1\t1",
        "head.weight\t\t8.944\t\t",
    ]


def test_two_equal_versions_say_so(run: Run, registry: Registry, tiny: Backbone) -> None:
    published(registry, tiny, "mood", soft(1.0))
    published(registry, tiny, "shared/a", soft(1.0))
    published(registry, tiny, "shared/b", soft(1.0))
    same = run("prompt", "diff", "mood:1", "mood:1")
    assert (same.exit_code, same.stdout, same.stderr) == (0, "", "mood:1 and mood:1 are equal\n")
    assert differences(run, "mood:1", "mood:1")["equal"] is True
    named = run("prompt", "diff", "shared/a:1", "shared/b:1")
    assert (named.stdout, named.stderr) == ("", "shared/a:1 and shared/b:1 are equal, but for their names\n")


def test_other_geometries_and_heads_are_told_instead_of_a_distance(
    run: Run, registry: Registry, tiny: Backbone
) -> None:
    published(registry, tiny, "mood", soft(1.0))
    published(registry, tiny, "mood", soft(1.0, 7), labels=("x", "y", "z"))
    found = differences(run, "mood:1", "mood:2")
    assert found["tensors"] == []
    assert facts(found) == {
        "task.labels": (["negative", "positive"], ["x", "y", "z"], None),
        "prompt": (
            "a soft prompt of length 5 and width 40, placed after-first",
            "a soft prompt of length 7 and width 40, placed after-first",
            None,
        ),
        "head.weight": ([2, 40], [3, 40], None),
        "head.bias": ([2], [3], None),
    }


def test_pools_are_compared_where_they_have_the_same_blocks(run: Run, registry: Registry, tiny: Backbone) -> None:
    """All 3 * 40 numbers of the keys go from 1 to 3: sqrt(120 * 4), twice sqrt(120)."""
    for made in (pool(3), pool(3, value=3.0), pool(3, 2)):
        published(registry, tiny, "assistant", made, metrics={"accuracy": 0.5})
    first = differences(run, "assistant:1", "assistant:2")["tensors"]
    assert [one["tensor"] for one in first] == ["pool keys", "pool attentions", "pool components"]
    assert (first[0]["l2"], first[0]["relative"]) == pytest.approx((480**0.5, 2))
    grown = differences(run, "assistant:2", "assistant:3")
    assert grown["tensors"] == []
    was, now, _ = facts(grown)["prompt"]
    assert was == "a pool in encoder layers 1: blocks of 3 components [1, 2, 3, 4, 2, 10], top 0"
    assert now == "a pool in encoder layers 1: blocks of 3, 2 components [1, 2, 5, 4, 2, 10], top 0"


def test_other_backbones_are_told_by_their_parts(run: Run, registry: Registry, tiny: Backbone, tmp_path: Path) -> None:
    other = Backbone.load(str(tiny_bert(tmp_path / "other", seed=1)))
    published(registry, tiny, "mood", soft(1.0))
    published(registry, other, "mood", soft(1.0))
    assert facts(differences(run, "mood:1", "mood:2")).keys() == {"backbone.name", "backbone.weights"}


def test_a_task_and_what_has_none_can_be_compared(run: Run, registry: Registry, tiny: Backbone) -> None:
    published(registry, tiny, "mood", soft(1.0), metrics={"accuracy": 0.5})
    published(registry, tiny, "shared/a", soft(1.0))
    found = facts(differences(run, "mood:1", "shared/a:1"))
    assert found["metrics.accuracy"] == (0.5, None, None)
    assert found["task.kind"] == ("classification", None, None)
    assert found["head.name"] == ("linear", None, None)


def test_a_version_that_is_not_there_is_not_found(run: Run, registry: Registry, tiny: Backbone) -> None:
    published(registry, tiny, "mood", soft(1.0))
    assert run("prompt", "diff", "mood:1", "mood:2").exit_code == 3
