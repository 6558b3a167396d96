import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from methods import METHODS as PROMPTS
from methods.baselines import BASELINES
from orchestrator.cli.compare import METHODS, _grid, _show_report
from orchestrator.comparison.comparisons import ComparisonReport
from orchestrator.comparison.table import Summary

Run = Callable[..., Result]


@pytest.fixture
def mood(run: Run) -> str:
    """A task of four rows, the same for training and judging."""
    rows = [{"text": f"the {thing} was {how}", "label": how} for thing in ("film", "book") for how in ("good", "bad")]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("task", "add", "mood", "--train", "rows.jsonl", "--validation", "rows.jsonl").exit_code == 0
    return "mood"


def test_the_methods_offered_are_those_there_are() -> None:
    assert sorted(METHODS) == sorted([*PROMPTS, *BASELINES])


def test_a_grid_is_read_from_keys_and_lists() -> None:
    given = ("lr=1e-2,3e-2", "batch-size=4", "form=prefix,soft-prompt", "flag=true")
    assert _grid(given) == {
        "lr": (0.01, 0.03),
        "batch-size": (4,),
        "form": ("prefix", "soft-prompt"),
        "flag": (True,),
    }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ([], 2, "nothing to learn: give --tasks NAME,... or --resume ID"),
        (["--tasks", "gone"], 3, "unknown task 'gone'"),
        (["--tasks", "qa,qa"], 2, "each once"),
        (["--tasks", "qa", "--methods", "lora,guess"], 2, "unknown method 'guess'; known methods: adapter,"),
        (["--tasks", "qa", "--grid", "length"], 2, "--grid 'length' is not KEY=VALUE,..."),
        (["--tasks", "qa", "--grid", "length=4,"], 2, "--grid 'length=4,' is not KEY=VALUE,..."),
        (["--tasks", "qa", "--grid", "a=1", "--grid", "a=2"], 2, "--grid has 'a' twice"),
        (["--tasks", "qa", "--grid", "lenght=4"], 2, "no method of this comparison has 'lenght'; known: lr, epochs,"),
        (["--tasks", "qa", "--grid", "rank=high"], 2, "rank"),
        (["--tasks", "qa", "--seeds", "0"], 2, "seeds"),
        (["--tasks", "qa", "--seeds", "2", "--repeats", "2"], 2, "--seeds and --repeats say the same"),
        (["--tasks", "qa", "--shots", "some"], 2, "shots: a whole number, 1 or more, or all"),
        (["--tasks", "qa", "--shots", "4", "--grid", "shots=8"], 2, "--grid has 'shots' twice"),
        (["--tasks", "qa", "--methods", "mpt", "--from", "mpt"], 2, "--from 'mpt' is not METHOD=REF"),
        (["--tasks", "qa", "--methods", "mpt", "--from", "mpt=gone:1"], 3, "unknown prompt 'gone'"),
        (["--tasks", "qa", "--methods", "mpt", "--from", "mpt=a*much"], 2, "--from 'a*much' names no versions"),
        (["--tasks", "qa", "--methods", "lora", "--from", "lora=a"], 2, "lora has no prompt that could start from"),
        (["--tasks", "qa", "--methods", "lora", "--from", "mpt=a"], 2, "which is no method of this comparison"),
        (["--resume", "gone", "--shots", "2"], 2, "leave out --shots"),
        (["--resume", "gone", "--from", "mpt=a"], 2, "leave out --from"),
        (["--tasks", "qa", "--workers", "-1"], 2, "--workers -1 is not possible"),
        (["--tasks", "qa", "--plot", "worth.pdf"], 2, "--plot 'worth.pdf' is no .png or .svg in a folder"),
        (["--tasks", "qa", "--plot", "gone/worth.png"], 2, "in a folder that is there"),
        (["--resume", "gone"], 3, "no comparison 'gone'"),
        (["--resume", "gone", "--seeds", "2"], 2, "leave out --seeds"),
        (["--resume", "gone", "--batch-size", "2"], 2, "leave out --batch-size"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_starts(
    run: Run, home: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    result = run("compare", *arguments)
    assert result.exit_code == exit_code, result.stderr
    assert words in result.stderr
    assert not (home / "comparisons").exists()


def test_a_comparison_prints_a_table_and_draws_a_plot(run: Run, mood: str, tiny_folder: Path) -> None:
    some = ["--methods", "head-only,bitfit", "--seeds", "2", "--epochs", "1", "--backbone", str(tiny_folder)]
    shown = run("compare", "--tasks", mood, *some, "--workers", "0", "--plot", "worth.svg", "--name", "small")
    assert shown.exit_code == 0, shown.stderr
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert sorted((line[0], line[1], line[2], line[3], line[4], line[7]) for line in lines) == [
        ("mood", "bitfit", "-", "accuracy", "validation", "2"),
        ("mood", "head-only", "-", "accuracy", "validation", "2"),
    ]
    assert "4/4 bitfit mood seed 1: mood accuracy" in shown.stderr
    assert Path("worth.svg").read_text().startswith("<?xml")
    again = json.loads(run("compare", "--resume", "small", "--workers", "0", "-o", "json").stdout)["comparison"]
    assert (again["id"], again["cells"], again["failed"], len(again["rows"])) == ("small", 4, 0, 2)


def test_shots_repeats_and_starts_are_read_as_a_person_writes_them(run: Run, mood: str, tiny_folder: Path) -> None:
    backbone = ["--backbone", str(tiny_folder), "--epochs", "1", "--workers", "0"]
    assert run("train", "--tasks", mood, "--method", "prompt-tuning", *backbone).exit_code == 0
    few = ["--shots", "1,all", "--repeats", "2", "--from", "prompt-tuning=mood:1", "--separate"]
    shown = run("compare", "--tasks", mood, "--methods", "prompt-tuning,mpt", *backbone, *few)
    assert shown.exit_code == 0, shown.stderr
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert sorted((line[1], line[2], line[7]) for line in lines) == [
        ("mpt", "-", "2"),
        ("mpt", "shots=1", "2"),
        ("prompt-tuning", "-", "2"),
        ("prompt-tuning", "from=mood:1", "2"),
        ("prompt-tuning", "from=mood:1 shots=1", "2"),
        ("prompt-tuning", "shots=1", "2"),
    ]


def test_only_a_comparison_without_any_result_is_a_failure(run: Run, mood: str, tiny_folder: Path) -> None:
    common = ["--tasks", mood, "--seeds", "1", "--epochs", "2", "--workers", "0", "--backbone", str(tiny_folder)]
    some = run("compare", *common, "--methods", "lora", "--grid", "lr=1e-3,1e30")
    assert (some.exit_code, len(some.stdout.splitlines())) == (0, 2)
    none = run("compare", *common, "--methods", "lora", "--grid", "lr=1e30")
    assert none.exit_code == 1
    (line,) = none.stdout.splitlines()
    assert line.startswith("mood\tlora\tlr=1e+30\t\t\t-\t-\t0\t-\t-\t-\t1 failed: diverged")
    assert "1 cells, 1 failed" in none.stderr


def test_a_number_that_there_is_not_is_a_dash_in_the_table_and_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    row = Summary("qa", "lora", {"learning_rate": 0.01, "rank": 4}, "f1", "test", 0.61234, None, 1, 100, 400, 2.5, "")
    report = ComparisonReport("c1", "m1", "/somewhere", 12.0, 1, 0, (row,))
    _show_report(report, "table")
    written = capsys.readouterr()
    assert written.out == "qa\tlora\tlr=0.01 rank=4\tf1\ttest\t0.6123\t-\t1\t100\t400\t2.5\t\n"
    assert "comparison c1: 1 cells, 12 s, MLflow run m1" in written.err
    _show_report(report, "json")
    found = json.loads(capsys.readouterr().out)["comparison"]["rows"][0]
    assert (found["spread"], found["setting"]) == (None, {"learning_rate": 0.01, "rank": 4})
