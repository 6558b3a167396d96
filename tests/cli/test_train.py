import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import methods
from orchestrator.cli.train import METHODS, _show_report, hyperparameter
from orchestrator.publishing import RunReport, TaskReport
from registry import Move, Registry

Run = Callable[..., Result]


@pytest.fixture
def rows(run: Run) -> Path:
    """A task with two good rows and a bad one, so few that the bad one is too many."""
    file = Path("rows.jsonl")
    file.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    assert run("task", "add", "tiny", "--train", "rows.jsonl", "--validation", "rows.jsonl").exit_code == 0
    return file


def test_the_methods_offered_are_those_there_are_besides_the_control() -> None:
    assert {*METHODS, "head-only"} == set(methods.METHODS)


def test_a_dry_run_resolves_the_run_and_writes_nothing(run: Run, home: Path) -> None:
    given = ("--set", "length=8", "--epochs", "2", "--shots", "4")
    planned = run("train", "--tasks", "sentiment,qa", *given, "--dry-run", "-o", "json")
    assert planned.exit_code == 0, planned.stderr
    plan = json.loads(planned.stdout)["plan"]
    assert (plan["tasks"], plan["hyperparameters"], plan["epochs"]) == (["sentiment", "qa"], {"length": 8}, 2)
    assert (plan["backbone"], plan["shots"]) == (methods.DEFAULT_BACKBONE, 4)
    assert set(plan["rows"]["qa"]) == {"train", "validation", "test"}
    assert list(home.iterdir()) == []


def test_what_a_run_starts_from_is_pinned_in_its_plan(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:2")], actor="ada")
    start = ("--from", "sentiment*3,shared:default*1", "--gradient-checkpointing", "--cache-activations")
    planned = run("train", "--tasks", "qa", *start, "--dry-run", "-o", "json")
    assert planned.exit_code == 0, planned.stderr
    plan = json.loads(planned.stdout)["plan"]
    assert plan["start"] == "sentiment:2*3,shared/default:1*1"
    assert (plan["gradient_checkpointing"], plan["cache_activations"]) == (True, True)


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ('template = "It was {mask}."', "the template has 0 slots {text}; a classification task needs one"),
        ('template = "{text}"\nverbalizer = { x = ["good"] }', "task 'tiny': text_prompt: the verbalizer has no words"),
        (
            'template = "{text}"\nverbalizer = { x = ["good"], y = ["bad"], z = ["odd"] }',
            "words for 'z', which is no label",
        ),
    ],
)
def test_a_wording_that_cannot_be_read_is_refused_before_anything_starts(
    run: Run, home: Path, wording: str, words: str
) -> None:
    Path("rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    Path("tasks.toml").write_text(
        '[tasks.tiny]\nkind = "classification"\ntrain = "rows.jsonl"\nvalidation = "rows.jsonl"\n'
        f"[tasks.tiny.text_prompt]\n{wording}\n"
    )
    assert run("task", "apply", "tasks.toml").exit_code == 0
    result = run("train", "--tasks", "tiny", "--dry-run")
    assert result.exit_code == 2
    assert words in result.stderr


def test_tasks_may_be_repeated_or_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_TRAIN_TASKS", "sentiment,qa")
    assert json.loads(run("train", "--dry-run", "-o", "json").stdout)["plan"]["tasks"] == ["sentiment", "qa"]
    repeated = run("train", "--tasks", "qa", "--tasks", "sentiment", "--dry-run", "-o", "json")
    assert json.loads(repeated.stdout)["plan"]["tasks"] == ["qa", "sentiment"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ([], 2, "nothing to learn"),
        (["--tasks", "gone"], 3, "unknown task 'gone'; known tasks: qa, sentiment"),
        (["--tasks", "qa,qa"], 2, "each task once"),
        (["--tasks", "qa", "--epochs", "0"], 2, "epochs"),
        (["--tasks", "qa", "--shots", "0"], 2, "shots"),
        (["--tasks", "qa", "--epochs", "some"], 2, "'some' is not a valid int"),
        (["--tasks", "qa", "--set", "length"], 2, "is not KEY=VALUE"),
        (["--tasks", "qa", "--set", "lenght=3"], 2, "no hyperparameter 'lenght'"),
        (["--tasks", "qa", "--set", "length=long"], 2, "mpt.length"),
        (["--tasks", "qa", "--method", "guess"], 2, "'guess' is not one of"),
        (["--tasks", "qa", "--from", "sentiment*much"], 2, "names no versions"),
        (["--tasks", "qa", "--from", "sentiment:3"], 3, "unknown prompt 'sentiment'"),
        (["--tasks", "qa", "--from", "shared:default"], 3, "shared/default"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(
    run: Run, home: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    result = run("train", *arguments, "--dry-run")
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert list(home.iterdir()) == []


def test_too_many_bad_rows_stop_a_run_with_their_places(run: Run, rows: Path) -> None:
    rows.write_text(rows.read_text() + '{"text": "a sentence nobody may repeat"}\n')
    result = run("train", "--tasks", "tiny")
    assert result.exit_code == 2
    assert "1 of 3 rows" in result.stderr
    assert f"{rows.absolute()}:3 missing field 'label'" in result.stderr
    assert "nobody" not in result.stderr
    assert run("run", "list").stdout == ""


def test_a_resumed_run_takes_no_other_option(run: Run) -> None:
    result = run("train", "--resume", "r1", "--batch-size", "8")
    assert result.exit_code == 2
    assert "leave out --batch-size" in result.stderr
    assert run("train", "--resume", "r1", "--dry-run").exit_code == 2
    assert run("train", "--resume", "r1").exit_code == 3


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("a=1", 1),
        ("a=0.5", 0.5),
        ("a=1e-2", 0.01),
        ("a=true", True),
        ("a=mean", "mean"),
        ("a=[1]", "[1]"),
        ("a=x=y", "x=y"),
    ],
)
def test_a_hyperparameter_is_a_number_a_truth_or_text(pair: str, value: object) -> None:
    key, found = hyperparameter(pair)
    assert key == "a"
    assert (found, type(found)) == (value, type(value))


def test_the_report_shows_each_prompt_beside_its_control(capsys: pytest.CaptureFixture[str]) -> None:
    row = TaskReport("qa", "qa:1", "sha256:ab", "f1", 0.61234, 0.5, 1000, 4096)
    report = RunReport("r1", "m1", 12.0, "shared/default:1", (row,))
    _show_report(report, "table")
    written = capsys.readouterr()
    assert written.out == "qa\tqa:1\tf1\t0.6123\t0.5\t1000\t4096\n"
    assert "promptctl promote qa:1" in written.err
    _show_report(report, "json")
    assert json.loads(capsys.readouterr().out)["run"]["rows"][0]["value"] == 0.61234
