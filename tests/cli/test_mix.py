import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from methods import Artifact, Backbone, LinearHead, Prefix, SoftPrompt
from orchestrator.mixing import _read
from orchestrator.origins import start_from
from registry import Move, Registry
from tests.backbones import tiny_bert
from tests.published import published, soft

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture
def registry(home: Path, tiny: Backbone) -> Iterator[Registry]:
    """mood:1 is all 1, mood:2 all 5, with heads of 2 and 4; topic has other labels; shared/default is all 3."""
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        published(opened, tiny, "mood", soft(1.0), head=2.0)
        published(opened, tiny, "mood", soft(5.0), head=4.0)
        published(opened, tiny, "topic", soft(2.0), labels=("war", "peace", "trade"))
        published(opened, tiny, "shared/default", soft(3.0))
        opened.promote([Move("mood:2")], actor="ada")
        yield opened


def artifact(registry: Registry, reference: str) -> Artifact:
    return Artifact.from_bytes(registry.fetch(registry.resolve(reference)))


def values(made: Artifact) -> list[float]:
    assert isinstance(made.form, SoftPrompt)
    return made.form.embeddings.unique().tolist()


@pytest.mark.parametrize(
    "arguments", [("mood:1:0.75", "mood:2:.25"), ("mood:1*3", "mood*1"), ("mood:1*.3", "mood:0.1")]
)
def test_versions_of_one_task_become_its_next_version(run: Run, registry: Registry, arguments: tuple[str, ...]) -> None:
    """0.75 * 1 + 0.25 * 5 = 2 in the prompt, 0.75 * 2 + 0.25 * 4 = 2.5 in the head."""
    result = run("prompt", "mix", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split("\t")[:3] == ["mood:3", "classification", "mood:1*0.75, mood:2*0.25"]
    made = artifact(registry, "mood:3")
    assert values(made) == pytest.approx([2.0])
    assert isinstance(made.head, LinearHead)
    assert made.head.weight.unique().tolist() == pytest.approx([2.5])
    assert (made.card.method, made.card.metrics, made.factors) == ("mix", {}, {})
    assert made.card.training == {"mix": {"mood:1": pytest.approx(0.75), "mood:2": pytest.approx(0.25)}}
    version = registry.resolve("mood:3")
    assert [(one.name, one.number, one.role) for one in version.parents] == [("mood", 1, "init"), ("mood", 2, "init")]
    assert registry.resolve("mood").number == 2  # nothing is promoted


def test_a_mix_has_spent_what_its_parents_have(run: Run, registry: Registry) -> None:
    """Two runs of epsilon 2 and 3, one of which both parents come from: 2 + 3, not 2 + 2 + 3."""
    own = {"epsilon": 2.0, "delta": 1e-4, "noise_multiplier": 1.0, "clip": 1.0, "sample_rate": 0.1, "steps": 5}
    first = {"r1": {"epsilon": 2.0, "delta": 1e-4}}
    both = first | {"r2": {"epsilon": 3.0, "delta": 1e-4}}
    for number, runs in enumerate((first, both)):
        total = {key: sum(one[key] for one in runs.values()) for key in ("epsilon", "delta")}
        dp = own | {"accountant": "prv", "runs": runs, "total": total, "uncounted": []}
        made = artifact(registry, f"mood:{number + 1}")
        private = replace(made, card=replace(made.card, name="private", training={"dp": dp}))
        registry.publish(
            "private", private.to_bytes(), private.card.to_json(), idempotency_key=f"{number}", actor="ada"
        )
    mixed = ("private:1", "private:2"), ("private:1", "mood:1", "--name", "half")
    for arguments, (epsilon, uncounted) in zip(mixed, ((5.0, []), (2.0, ["mood:1"])), strict=True):
        result = run("prompt", "mix", *arguments, "-o", "name")
        assert result.exit_code == 0, result.stderr
        dp = artifact(registry, result.stdout.strip()).card.training["dp"]
        assert isinstance(dp, dict)
        assert (dp["total"]["epsilon"], dp["uncounted"], dp["epsilon"]) == (epsilon, uncounted, 0.0)


def test_the_same_mix_is_the_same_version_and_a_dry_run_none(run: Run, registry: Registry) -> None:
    planned = run("prompt", "mix", "mood:1", "mood:2", "--dry-run", "-o", "json")
    (plan,) = json.loads(planned.stdout)["versions"]
    assert (plan["reference"], plan["mix"]) == ("mood", ["mood:1*0.5", "mood:2*0.5"])
    assert "dry run" in planned.stderr
    assert len(registry.versions("mood")) == 2
    for _ in range(2):
        made = json.loads(run("prompt", "mix", "mood:1", "mood:2", "-o", "json").stdout)["versions"]
        assert made == [plan | {"reference": "mood:3"}]
    assert run("prompt", "mix", "mood:1", "mood:2:", "-o", "name").exit_code == 2


def test_a_mix_with_a_head_answers_rows(run: Run, registry: Registry) -> None:
    rows = [{"text": f"the {thing} was good", "label": "positive"} for thing in ("film", "book")]
    Path("rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"text": "a", "label": "negative"}])
    )
    run("task", "add", "reviews", "--train", "rows.jsonl", "--validation", "rows.jsonl")
    assert run("prompt", "mix", "mood:1", "mood:2", "--name", "blend", "-o", "name").stdout == "blend:1\n"
    judged = run("prompt", "evaluate", "blend:1", "--task", "reviews", "-o", "json")
    assert json.loads(judged.stdout)["patterns"][0]["rows"] == 3


def test_versions_of_several_tasks_with_the_same_labels_become_a_task_of_their_own(
    run: Run, registry: Registry, tiny: Backbone
) -> None:
    published(registry, tiny, "taste", soft(3.0))
    assert run("prompt", "mix", "mood:1", "taste:1", "--name", "both", "-o", "name").stdout == "both:1\n"
    task = artifact(registry, "both:1").card.task
    assert task is not None
    assert (task.name, task.labels) == ("both", ("negative", "positive"))


@pytest.mark.parametrize(
    ("arguments", "reference", "words", "value"),
    [
        (("mood:1", "topic:1", "--name", "warm"), "shared/warm:1", "the labels of mood:1 are negative, positive", 1.5),
        (("mood:1", "topic:1", "--name", "shared/warm"), "shared/warm:1", "the labels of mood:1", 1.5),
        (("mood:1", "mood:2", "--name", "shared/warm"), "shared/warm:1", "it is named shared/warm", 3.0),
        (("mood:1:3.0", "shared:default:1.0", "--name", "warm"), "shared/warm:1", "belongs to no task", 1.5),
    ],
)
def test_other_mixes_have_no_head_and_training_starts_from_them(
    run: Run,
    registry: Registry,
    tiny: Backbone,
    arguments: tuple[str, ...],
    reference: str,
    words: str,
    value: float,
) -> None:
    result = run("prompt", "mix", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split("\t")[:2] == [reference, ""]
    assert words in result.stderr
    made = artifact(registry, reference)
    assert (made.card.task, made.head, values(made)) == (None, None, [value])
    start = start_from([made.to_bytes()], reference, tiny)
    assert start is not None
    assert isinstance(start.form, SoftPrompt)
    assert run("train", "--tasks", "qa", "--from", "shared:warm", "--dry-run").exit_code == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", ("a", None)),
        ("a:3", ("a:3", None)),
        ("a:0.7", ("a", 0.7)),
        ("a:3:0.7", ("a:3", 0.7)),
        ("a:3*0.7", ("a:3", 0.7)),
        ("a*3", ("a", 3.0)),
        ("a:.5", ("a", 0.5)),
        ("a:2.", ("a", 2.0)),
        ("a@staging:0.7", ("a@staging", 0.7)),
        ("a@v1.2", ("a@v1.2", None)),
        ("a@sha256:0123abcd", ("a@sha256:0123abcd", None)),
        ("a@sha256:0123abcd:1.5", ("a@sha256:0123abcd", 1.5)),
        ("shared/a:1:0.7", ("shared/a:1", 0.7)),
        ("shared:a", ("shared:a", None)),
        ("shared:a:2:0.7", ("shared:a:2", 0.7)),
    ],
)
def test_a_weight_has_a_point_or_a_star(text: str, found: tuple[str, float | None]) -> None:
    assert _read(text) == found


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["mood:1"], 2, "needs two versions or more"),
        (["mood:2", "mood"], 2, "mood:2 comes twice"),
        (["mood:1:0.5", "mood:2"], 2, "some of the versions have no weight"),
        (["mood:1:0.0", "mood:2:1.0"], 2, "'mood:1:0.0' has the weight '0.0'; a weight is a number above 0"),
        (["mood:1:-0.5", "mood:2:1.0"], 2, "has the weight '-0.5'"),
        (["mood:1*nan", "mood:2*1"], 2, "has the weight 'nan'"),
        (["mood:1*inf", "mood:2*1"], 2, "has the weight 'inf'"),
        (["mood:1*much", "mood:2*1"], 2, "has the weight 'much'"),
        (["mood:1*", "mood:2*1"], 2, "has the weight ''"),
        (["mood:1*2*3", "mood:2*1"], 2, "names no version"),
        (["mood:1,mood:2", "mood:2"], 2, "names no version"),
        (["mood:1", "mood:9"], 3, "has no version 9"),
        (["mood:1", "gone"], 3, "unknown prompt 'gone'"),
        (["mood:1", "shared:gone"], 3, "unknown prompt 'shared/gone'"),
        (["mood:1", "topic:1"], 2, "a mix of mood, topic has no name yet"),
        (["mood:1", "mood:2", "--name", "../up"], 2, "is no prompt name"),
    ],
)
def test_what_cannot_be_mixed_is_refused_and_makes_nothing(
    run: Run, registry: Registry, arguments: list[str], exit_code: int, words: str
) -> None:
    result = run("prompt", "mix", *arguments)
    assert result.exit_code == exit_code, result.stderr
    assert words in result.stderr
    assert len(registry.versions("mood")) == 2


def test_other_geometries_and_other_backbones_are_refused_by_what_they_are(
    run: Run, registry: Registry, tiny: Backbone, tmp_path: Path
) -> None:
    published(registry, tiny, "long", soft(1.0, 6))
    published(registry, tiny, "deep", Prefix(soft(1.0, 20).embeddings.reshape(1, 2, 4, 10, 10), (2,)))
    other = Backbone.load(str(tiny_bert(tmp_path / "other", seed=1)))
    published(registry, other, "foreign", soft(1.0))
    refusals: dict[str, Any] = {
        "long:1": "mood:1 is a soft prompt of length 5 and width 40, placed after-first; long:1 is a soft prompt of",
        "deep:1": "deep:1 is a prefix of length 10 in encoder layers 2",
        "foreign:1": "weights differ",
    }
    for reference, words in refusals.items():
        result = run("prompt", "mix", "mood:1", reference, "--name", "x")
        assert result.exit_code == 2
        assert words in result.stderr
    assert "x" not in {prompt.name for prompt in registry.prompts()}
