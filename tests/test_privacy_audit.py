"""Audits and private runs from end to end, in this process: what they measure, keep, say and refuse."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from methods import Backbone
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.cli.main import cli
from orchestrator.errors import InvalidSpec
from orchestrator.events import Tail
from orchestrator.promotion.policy import Policy
from orchestrator.promotion.review import Case, reviewed
from orchestrator.publishing import RunReport
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec, TaskSpec, parse
from orchestrator.spending import recorded
from orchestrator.tasks import put
from tests.backbones import WORDS
from tests.published import published, soft
from tests.shows import Heard


def rows(count: int, seed: int, noise: float) -> Iterator[dict[str, str]]:
    """Random words with a mood among them, and a label that is another one's for a share of the rows."""
    drawn, words = random.Random(seed), WORDS.split()
    for _ in range(count):
        mood = drawn.choice(("good", "bad"))
        label = mood if drawn.random() > noise else "bad" if mood == "good" else "good"
        yield {"text": " ".join([*drawn.choices(words, k=5), mood, *drawn.choices(words, k=2)]), "label": label}


def write(file: Path, found: Iterator[dict[str, str]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(file)


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with the task `mood`: 40 training rows, a third of them with a wrong label, and 30 held out."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    files = {"train": write(tmp_path / "train.jsonl", rows(40, 1, 0.3))}
    files |= {
        split: write(tmp_path / f"{split}.jsonl", rows(15, 2 + len(split), 0.3)) for split in ("validation", "test")
    }
    with opened(settings := Settings()) as registry:
        task = TaskSpec.model_validate({"name": "mood", "kind": "classification", **files})
        put(registry, [task], actor="me", replace=False)
    return settings


def spec(**changes: object) -> RunSpec:
    given = {"tasks": ("mood",), "workers": 0, "epochs": 2, "method": "prompt-tuning", "hyperparameters": {"length": 5}}
    return parse(RunSpec, given | changes, "run")


def train(settings: Settings, **changes: object) -> RunReport:
    return runs.train(spec(**changes), settings, Heard())


def card(settings: Settings, reference: str) -> Any:
    with opened(settings) as registry:
        return registry.resolve(reference).card


def audit(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["privacy", "audit", *arguments])


def everything(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


OPEN = ("--max-auc", "1", "--max-tpr", "1", "--max-exposure", "9")


def measures(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["measure"], one["of"]): one for one in json.loads(result.stdout)["measures"]}


def test_a_gate_that_is_not_met_ends_with_6_and_the_numbers(settings: Settings) -> None:
    train(settings, epochs=1)
    before = everything(settings.home / "store")
    result = audit(
        "mood:1", "--shadows", "4", "--rows", "10", "--max-auc", "0", "--max-tpr", "1", "--max-exposure", "9"
    )
    assert result.exit_code == 6
    assert everything(settings.home / "store") == before, "no shadow is published"
    assert "mood:1 gives away too much: auc of retrained" in result.stderr
    assert "auc of published" in result.stderr
    assert "files" not in result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["auc", "retrained"],
        ["tpr_at_1_fpr", "retrained"],
        ["auc", "published"],
        ["tpr_at_1_fpr", "published"],
        ["auc", "files"],
        ["tpr_at_1_fpr", "files"],
        ["exposure_bits", "canaries"],
    ]
    assert [line[6] for line in lines] == ["no", "yes", "no", "yes", "", "", "yes"]
    assert 20 < int(lines[0][7]) <= 40  # what all other shadows saw, or none, is left out
    assert int(lines[2][7]) <= 20
    again = audit("mood:1", "--shadows", "4", "--rows", "10", *OPEN)
    assert [line.split("\t")[2:5] for line in again.stdout.splitlines()] == [line[2:5] for line in lines]


def test_a_policys_audit_gate_attacks_what_says_nothing_of_an_audit(
    settings: Settings, tmp_path: Path, tiny_folder: Path
) -> None:
    files = {split: (tmp_path / f"{split}.jsonl").read_bytes() for split in ("train", "validation", "test")}
    data = {"mood": {"sha256": {split: hashlib.sha256(found).hexdigest() for split, found in files.items()}}}
    training = {"tasks": ["mood"], "epochs": 1, "batch_size": 16, "seed": 0, "start": None, "teachers": None}
    policy = Policy.model_validate({"gates": {"audit": {"at_most": 1.0, "shadows": 4}}})
    with opened(settings) as registry:
        version = published(
            registry, Backbone.load(str(tiny_folder)), "mood", soft(0.1), labels=("bad", "good"), data=data,
            training=training, hyperparameters={"length": 5},
        )  # fmt: skip
        ((result,),) = (report.results for report in reviewed(registry, [Case(version, "production", None, 0, policy)]))
    assert (result.name, result.passed, result.numbers["shadows"]) == ("audit", True, 4)
    assert 0 <= result.numbers["low"] <= result.numbers["auc"] <= result.numbers["high"] <= 1


def test_other_rows_than_the_cards_are_refused(settings: Settings, tmp_path: Path) -> None:
    train(settings, epochs=1)
    file = tmp_path / "test.jsonl"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    file.write_text(file.read_text() + '{"text": "nobody may say this", "label": "good"}\n')
    result = audit("mood:1")
    assert result.exit_code == 2
    assert "the test file of task 'mood' is not the one that mood:1 was trained with" in result.stderr
    assert digest in result.stderr
    assert "nobody" not in result.stderr


def test_versions_that_cannot_be_trained_again_are_refused(
    settings: Settings, tmp_path: Path, tiny_folder: Path
) -> None:
    train(settings, method="mpt", epochs=1, name="base")
    assert "belongs to no task" in audit("shared/base:1").stderr
    write(tmp_path / "few.jsonl", rows(5, 9, 0.0))
    few = {"name": "few", "kind": "classification", "train": str(tmp_path / "train.jsonl")}
    few |= {"validation": str(tmp_path / "few.jsonl")}
    with opened(settings) as registry:
        put(registry, [TaskSpec.model_validate(few)], actor="me", replace=False)
        published(registry, Backbone.load(str(tiny_folder)), "brought", soft(0.5))
    assert "brought:1 does not say how it was trained" in audit("brought:1").stderr
    train(settings, tasks=("few",), epochs=1)
    result = audit("few:1")
    assert result.exit_code == 2
    assert "5 different held-out rows; an audit needs 8" in result.stderr


def test_tasks_that_were_trained_together_are_trained_together_again(settings: Settings, tmp_path: Path) -> None:
    found = ({"question": f"which {row['text'].split()[0]}", "context": row["text"], "answer": row["text"].split()[1]}
             for row in rows(20, 5, 0.0))  # fmt: skip
    file = write(tmp_path / "qa.jsonl", found)
    with opened(settings) as registry:
        asked = TaskSpec.model_validate({"name": "asked", "kind": "span-qa", "train": file, "validation": file})
        put(registry, [asked], actor="me", replace=False)
    train(settings, tasks=("asked", "mood"), method="mpt", epochs=1)
    result = audit("mood:1", "--shadows", "4", "-o", "json", *OPEN)
    assert result.exit_code == 0, result.stderr
    assert audit("asked:1").exit_code == 2  # its held-out rows are its training rows, so there are no others


def test_a_private_run_keeps_its_budget_in_its_card_and_says_no_loss(settings: Settings) -> None:
    """40 rows in batches of 16: a rate of 0.4, and 3 steps in 2 epochs of 2 phases are 12."""
    show = Heard()
    report = runs.train(spec(dp_epsilon=8.0, dp_delta=1e-3), settings, show)
    spent = recorded(card(settings, "mood:1"))
    assert spent is not None
    assert 7.9 < spent.epsilon <= 8.0
    assert (spent.delta, spent.clip, spent.sample_rate, spent.steps, spent.accountant) == (1e-3, 1.0, 0.4, 12, "rdp")
    assert spent.noise_multiplier > 0.5
    assert list(spent.runs) == [report.run_id]
    assert (spent.total.epsilon, spent.total.delta, spent.uncounted) == (spent.epsilon, 1e-3, ())
    assert any("private: epsilon 7.99" in line or "private: epsilon 8" in line for line in show.lines)
    assert not any("allows to publish" in line for line in show.lines)
    steps = [event for event in Tail(settings.runs / report.run_id / "events.jsonl").new() if "step" in event]
    assert len(steps) == 12
    assert all(event["loss"] is None and event["task_losses"] == {} and event["rows"] == 16 for event in steps)
    assert "dp" not in card_of_a_plain_run(settings)["training"]


def card_of_a_plain_run(settings: Settings) -> Any:
    return card(settings, train(settings, epochs=1).rows[0].reference)


def test_budgets_add_up_along_what_a_run_starts_from_each_run_once(settings: Settings) -> None:
    """mood:2 comes from mood:1, mood:3 from both: 1 + 2 + 4 = 7 and not 1 + (1 + 2) + 4 = 8."""
    for epsilon, start in ((1.0, None), (2.0, "mood:1"), (4.0, "mood:1,mood:2")):
        train(settings, epochs=1, dp_epsilon=epsilon, dp_delta=1e-3, start=start)
    third = recorded(card(settings, "mood:3"))
    assert third is not None
    assert len(third.runs) == 3
    assert third.total.epsilon == pytest.approx(7.0, rel=2e-3)
    assert third.total.delta == pytest.approx(3e-3)


def test_what_was_trained_without_a_budget_is_named_where_a_private_run_starts_from_it(settings: Settings) -> None:
    train(settings, epochs=1)
    show = Heard()
    runs.train(spec(epochs=1, dp_epsilon=5.0, dp_delta=0.1, start="mood:1"), settings, show)
    spent = recorded(card(settings, "mood:2"))
    assert spent is not None
    assert spent.uncounted == ("mood:1",)
    assert any("mood:1 was trained without a budget" in line for line in show.lines)
    assert any("delta 0.1 allows to publish one of 40 rows" in line for line in show.lines)


def test_a_private_version_is_audited_with_private_shadows(settings: Settings) -> None:
    train(settings, epochs=2, dp_epsilon=1.0, dp_delta=1e-3)
    result = audit("mood:1", "--shadows", "4", "-o", "json", *OPEN)
    assert result.exit_code == 0, result.stderr
    assert measures(result)["auc", "retrained"]["value"] < 0.75


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dp_delta": None}, "go together"),
        ({"dp_epsilon": None}, "go together"),
        ({"workers": 2}, "workers 1 or 0"),
        ({"shots": 4}, "no shots"),
        ({"teachers": "mood:1"}, "no teachers"),
        ({"cache_activations": True}, "no cache"),
        ({"dp_epsilon": 0.0}, "greater than 0"),
        ({"dp_delta": 1.0}, "less than 1"),
        (
            {"method": "mpt", "hyperparameters": {"distillation": 0.9}},
            "teachers are for the tasks that mpt trains together",
        ),
        ({"method": "mpt", "hyperparameters": {"sampling": "stochastic"}}, "rows are drawn one by one"),
    ],
)
def test_what_no_noise_covers_is_refused_before_a_private_run(
    settings: Settings, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidSpec, match=words):
        train(settings, **{"dp_epsilon": 8.0, "dp_delta": 1e-3} | changes)


def test_a_private_plan_shows_its_budget_and_trains_nothing(settings: Settings) -> None:
    arguments = "train --tasks mood --dp-epsilon 3 --dp-delta 1e-4 --dry-run -o json"
    planned = CliRunner().invoke(cli, arguments.split())
    assert planned.exit_code == 0, planned.stderr
    dp = json.loads(planned.stdout)["plan"]["dp"]
    assert 2.99 < dp["epsilon"] <= 3.0
    assert dp["delta"] == 1e-4
