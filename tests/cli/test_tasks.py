import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from click.testing import Result

from orchestrator import tasks
from orchestrator.cli.task import KINDS
from orchestrator.errors import UnknownTask
from orchestrator.specs import Kind
from registry import Registry

Run = Callable[..., Result]
REVIEWS = """
[tasks.reviews]
kind = "classification"
train = "rows/train.jsonl"
validation = "rows/train.jsonl"
fields = { text = "review" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tasks" / "rows").mkdir(parents=True)
    (tmp_path / "tasks" / "rows" / "train.jsonl").write_text("{}")
    (tmp_path / "tasks" / "tasks.toml").write_text(REVIEWS)
    return tmp_path / "tasks" / "tasks.toml"


def test_the_kinds_offered_are_those_there_are() -> None:
    assert get_args(Kind) == KINDS


def test_a_task_may_say_how_it_is_worded(run: Run, file: Path, registry: Registry) -> None:
    file.write_text(
        REVIEWS
        + '[tasks.reviews.text_prompt]\ntemplate = "{text} It was {mask}."\nverbalizer = { a = ["good"], b = ["bad"] }'
    )
    assert run("task", "apply", str(file)).stdout == "reviews\tadded\n"
    wording = tasks.find(registry, "reviews").text_prompt
    assert wording is not None
    assert wording.templates == ("{text} It was {mask}.",)
    assert wording.words(("b", "a")) == (("bad",), ("good",))
    assert "It was {mask}" in run("task", "show", "reviews").stdout
    assert run("task", "apply", str(file)).stdout == "reviews\tunchanged\n"


def test_a_task_kept_before_there_were_wordings_is_unchanged(run: Run, file: Path, registry: Registry) -> None:
    run("task", "add", str(file))
    spec = dict(registry.task("reviews").spec)
    assert spec.pop("text_prompt") is None
    registry.put_task("reviews", spec, actor="ada", replace=True)
    assert run("task", "add", str(file)).stdout == "reviews\tunchanged\n"


def test_every_kind_can_be_added(run: Run, registry: Registry) -> None:
    Path("a.jsonl").write_text("{}\n")
    files = ("--train", "a.jsonl", "--validation", "a.jsonl")
    for kind in KINDS:
        assert run("task", "add", f"my-{kind}", "--kind", kind, *files).exit_code == 0
        assert tasks.find(registry, f"my-{kind}").kind == kind
    refused = run("task", "add", "other", "--kind", "tagging", *files, "--field", "text=words")
    assert refused.exit_code == 2
    assert "unknown role text; tagging has tokens, tags" in refused.stderr


def test_paths_in_a_file_are_relative_to_the_file(run: Run, file: Path, registry: Registry) -> None:
    assert run("task", "apply", str(file)).stdout == "reviews\tadded\n"
    assert tasks.find(registry, "reviews").train == str(file.parent / "rows" / "train.jsonl")
    assert tasks.find(registry, "reviews").column("text") == "review"


def test_paths_on_the_command_line_are_kept_absolute(run: Run, registry: Registry) -> None:
    Path("a.csv").write_text("text,label\n")
    added = run("task", "add", "t", "--train", "a.csv", "--validation", "./a.csv", "--field", "text=body")
    assert (added.exit_code, added.stdout) == (0, "t\tadded\n")
    spec = tasks.find(registry, "t")
    assert spec.train == spec.validation == str(Path("a.csv").absolute())
    assert (spec.kind, spec.fields) == ("classification", {"text": "body"})


def test_adding_refuses_to_change_a_task_and_applying_changes_it(run: Run, file: Path) -> None:
    assert run("task", "add", str(file)).stdout == "reviews\tadded\n"
    assert run("task", "add", str(file)).stdout == "reviews\tunchanged\n"
    file.write_text(REVIEWS + "max_bad_fraction = 0.5\n")
    assert run("task", "add", str(file)).exit_code == 5
    assert run("task", "apply", str(file)).stdout == "reviews\tchanged\n"
    assert "0.5" in run("task", "show", "reviews").stdout


def test_one_refused_task_keeps_the_others_out(run: Run, file: Path, registry: Registry) -> None:
    file.write_text(REVIEWS + REVIEWS.replace("reviews", "zebra").replace("rows/train", "rows/gone"))
    refused = run("task", "apply", str(file))
    assert refused.exit_code == 3
    assert "no such train file" in refused.stderr
    assert registry.tasks() == []


def test_a_dry_run_names_the_changes_and_makes_none(run: Run, file: Path, home: Path) -> None:
    planned = run("task", "apply", str(file), "--dry-run")
    assert (planned.exit_code, planned.stdout) == (0, "reviews\tadded\n")
    assert list(home.iterdir()) == []


def test_a_task_of_ones_own_hides_a_built_in_one(run: Run, file: Path, registry: Registry) -> None:
    file.write_text(REVIEWS.replace("reviews", "sentiment"))
    assert "built-in" in run("task", "list").stdout.splitlines()[1]
    run("task", "apply", str(file))
    rows = json.loads(run("task", "list", "-o", "json").stdout)["tasks"]
    assert [(row["name"], row["origin"]) for row in rows] == [("qa", "built-in"), ("sentiment", "added")]


def test_an_unknown_task_names_those_there_are(registry: Registry) -> None:
    with pytest.raises(UnknownTask, match="'sentmint'; known tasks: qa, sentiment"):
        tasks.find(registry, "sentmint")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks = ", "not TOML"),
        ("[other]\na = 1", r"must hold \[tasks.NAME\] tables"),
        ("[tasks]\na = 1", r"must hold \[tasks.NAME\] tables"),
        (REVIEWS.replace("classification", "guessing"), "task 'reviews': kind: Input should be"),
        (REVIEWS.replace('kind = "classification"', "kind = 5"), "task 'reviews': kind"),
        (REVIEWS.replace('"rows/train.jsonl"', "7"), "train: Input should be a valid string"),
    ],
)
def test_a_file_that_makes_no_sense_is_invalid(run: Run, file: Path, text: str, words: str) -> None:
    file.write_text(text)
    result = run("task", "apply", str(file))
    assert result.exit_code == 2
    assert re.search(words, result.stderr)


def test_options_beside_a_file_and_a_field_without_a_role_are_refused(run: Run, file: Path) -> None:
    assert "leave out --train" in run("task", "add", str(file), "--train", "a.csv").stderr
    assert "is not ROLE=COLUMN" in run("task", "add", "t", "--field", "text").stderr


def test_the_demo_tasks_are_there_with_files() -> None:
    demos = tasks.builtin()
    assert sorted(demos) == ["qa", "sentiment"]
    assert all(Path(demo.train).is_absolute() for demo in demos.values())
