"""Which cells a comparison has, worked by hand, and what their numbers come to."""

from pathlib import Path
from typing import Any

import pytest

from methods import InvalidSetting
from orchestrator.comparison.grid import cells, hyperparameters
from orchestrator.comparison.plot import draw, size
from orchestrator.comparison.specs import Cell, ComparisonSpec
from orchestrator.comparison.table import Summary, mean_and_spread, summarize


def spec(**changes: Any) -> ComparisonSpec:
    given = {"tasks": ("mood", "colour"), "methods": ("head-only",), "seeds": 1, "epochs": 1, "batch_size": 4}
    return ComparisonSpec.model_validate(given | changes)


def names(made: ComparisonSpec) -> list[str]:
    return [cell.name for cell in cells(made)]


def test_every_method_trains_each_task_alone_and_mpt_all_of_them_together() -> None:
    assert names(spec(methods=("head-only", "mpt"), seeds=2)) == [
        "head-only mood seed 0",
        "head-only colour seed 0",
        "mpt mood,colour seed 0",
        "head-only mood seed 1",
        "head-only colour seed 1",
        "mpt mood,colour seed 1",
    ]


def test_a_grid_is_every_combination_of_the_keys_that_a_method_has() -> None:
    """head-only has no length: rows alone, 2 cells; prefix-tuning has both: 2 * 2; lora has a rank: 2 * 1."""
    grid = {"length": (4, 16), "rows": (10, 20), "rank": (3,)}
    assert names(spec(tasks=("mood",), methods=("head-only", "prefix-tuning", "lora"), grid=grid)) == [
        "head-only rows=10 mood seed 0",
        "head-only rows=20 mood seed 0",
        "prefix-tuning length=4 rows=10 mood seed 0",
        "prefix-tuning length=4 rows=20 mood seed 0",
        "prefix-tuning length=16 rows=10 mood seed 0",
        "prefix-tuning length=16 rows=20 mood seed 0",
        "lora rows=10 rank=3 mood seed 0",
        "lora rows=20 rank=3 mood seed 0",
    ]


def test_each_number_of_shots_is_a_setting_and_all_rows_are_the_one_without() -> None:
    cell, whole = cells(spec(tasks=("mood",), grid={"shots": (4, "all"), "rows": (9,)}))
    assert (cell.name, cell.run_setting("shots", None)) == ("head-only shots=4 rows=9 mood seed 0", 4)
    assert (whole.name, whole.run_setting("shots", None)) == ("head-only rows=9 mood seed 0", None)


def test_a_method_with_a_start_is_trained_from_scratch_too() -> None:
    """prefix-tuning has 1 start: 2 settings of 2 shots; mpt has 2; prompt-tuning none."""
    made = spec(
        tasks=("mood",),
        methods=("prefix-tuning", "mpt", "prompt-tuning"),
        grid={"shots": (4, "all"), "rank": (3,)},
        starts={"prefix-tuning": ("colour:1",), "mpt": ("shared/a:1", "shared/a:1*2,shared/b:1*3")},
    )
    assert names(made) == [
        "prefix-tuning shots=4 mood seed 0",
        "prefix-tuning mood seed 0",
        "prefix-tuning from=colour:1 shots=4 mood seed 0",
        "prefix-tuning from=colour:1 mood seed 0",
        "mpt shots=4 rank=3 mood seed 0",
        "mpt rank=3 mood seed 0",
        "mpt from=shared/a:1 shots=4 rank=3 mood seed 0",
        "mpt from=shared/a:1 rank=3 mood seed 0",
        "mpt from=shared/a:1*2,shared/b:1*3 shots=4 rank=3 mood seed 0",
        "mpt from=shared/a:1*2,shared/b:1*3 rank=3 mood seed 0",
        "prompt-tuning shots=4 mood seed 0",
        "prompt-tuning mood seed 0",
    ]
    started = cells(made)[6]
    assert (started.start, started.hyperparameters, cells(made)[4].start) == ("shared/a:1", {"rank": 3}, None)


def test_mpt_trains_one_task_per_cell_where_it_is_told_to() -> None:
    assert names(spec(methods=("mpt",), separate=True)) == ["mpt mood seed 0", "mpt colour seed 0"]


def test_lr_is_the_learning_rate_of_what_is_not_a_head() -> None:
    made = spec(tasks=("mood",), methods=("head-only", "lora"), grid={"lr": (0.1, 0.1), "batch-size": (2,)})
    control, lora = cells(made)
    assert (control.setting, control.hyperparameters) == ({"batch_size": 2}, {})
    assert lora.setting == {"learning_rate": 0.1, "batch_size": 2}
    assert lora.hyperparameters == {"learning_rate": 0.1}
    assert (lora.run_setting("batch_size", 16), lora.run_setting("rows", 7), lora.run_setting("epochs", None)) == (
        2,
        7,
        None,
    )
    assert hyperparameters("head-only") == ("head_learning_rate",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"grid": {"lenght": (3,)}, "methods": ("lora", "mpt")},
            "no method of this comparison has 'lenght'; known: lr,",
        ),
        (
            {"grid": {"length": (3,)}, "methods": ("lora",)},
            "'length'; known: lr, epochs, batch_size, rows, shots, rank, alpha",
        ),
        ({"grid": {"lr": (3,)}}, "no method of this comparison has 'learning_rate'"),
        ({"methods": ("mtp",)}, "unknown method 'mtp'; known methods: adapter, bitfit, full, head-only, lora, mpt"),
        ({"grid": {"rows": (0,)}}, r"rows: a whole number, 1 or more \["),
        ({"grid": {"rows": ("all",)}}, r"rows: a whole number, 1 or more \["),
        ({"grid": {"shots": (4, 0)}}, "shots: a whole number, 1 or more, or all"),
        ({"grid": {"shots": ("any",)}}, "shots: a whole number, 1 or more, or all"),
        ({"starts": {"mpt": ("mood:1",)}}, "--from gives 'mpt' a start, which is no method of this comparison"),
        ({"starts": {"head-only": ("mood:1",)}}, "head-only has no prompt that could start from another"),
        ({"starts": {"lora": ("mood:1",)}, "methods": ("lora",)}, "lora has no prompt that could start from another"),
        ({"grid": {"batch-size": (2.5,)}}, "batch-size: a whole number, 1 or more"),
        ({"grid": {"lr": (1.0,), "learning_rate": (2.0,)}, "methods": ("lora",)}, "a key twice"),
        ({"methods": ("lora", "lora")}, "each once"),
        ({"name": "../up"}, "a name is 1 to 63"),
    ],
)
def test_what_cannot_be_compared_is_said_first(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cells(spec(**changes))


def test_a_value_that_a_method_does_not_take_is_said_first() -> None:
    with pytest.raises(InvalidSetting, match=r"lora\.rank"):
        cells(spec(methods=("lora",), grid={"rank": ("high",)}))


def test_a_cell_survives_its_json() -> None:
    """1 and 1.0 and true are three values."""
    setting = {"a": 1, "b": 1.0, "c": True, "d": "x"}
    cell = Cell(method="mpt", setting=setting, tasks=("t",), seed=0)
    again = Cell.model_validate_json(cell.model_dump_json())
    assert [(value, type(value)) for value in again.setting.values()] == [
        (value, type(value)) for value in setting.values()
    ]


def test_mean_and_spread_by_hand() -> None:
    """Of .5, .7, .9: the mean .7; squares .04 + 0 + .04 over 3 - 1 are .04, whose root is .2."""
    assert mean_and_spread([0.5, 0.7, 0.9]) == (pytest.approx(0.7), pytest.approx(0.2))
    assert mean_and_spread([0.5]) == (0.5, None)
    assert mean_and_spread([]) == (None, None)


def result(value: float, **changes: Any) -> dict[str, Any]:
    plain = {"metric": "accuracy", "split": "test", "rows": 9, "parameters": 10, "bytes": 40, "seconds": 2.0}
    return plain | {"value": value} | changes


def test_the_table_by_hand() -> None:
    """mood .4 and .6, colour .8 and failed: mood .5 with spread sqrt(.02); the average of the one whole seed .6."""
    made = cells(spec(methods=("lora", "head-only"), seeds=2))
    lines = {
        "lora mood seed 0": {"results": {"mood": result(0.4)}},
        "lora mood seed 1": {"results": {"mood": result(0.6, seconds=4.0)}},
        "lora colour seed 0": {"results": {"colour": result(0.8, metric="f1", bytes=60)}},
        "lora colour seed 1": {"failed": "diverged"},
        "head-only mood seed 0": {"results": {"mood": result(0.7)}},
    }
    rows = summarize(made, lines)
    assert [(row.task, row.method, row.mean, row.n) for row in rows] == [
        ("colour", "lora", 0.8, 1),
        ("colour", "head-only", None, 0),
        ("mood", "head-only", 0.7, 1),
        ("mood", "lora", 0.5, 2),
        ("(average)", "lora", pytest.approx(0.6), 1),
        ("(average)", "head-only", None, 0),
    ]
    colour, _, _, mood, average, _ = rows
    assert (mood.spread, mood.seconds) == (pytest.approx(0.02**0.5), 3.0)
    assert (colour.spread, colour.failed) == (None, "1 failed: diverged")
    assert (average.metric, average.bytes, average.failed) == ("accuracy/f1", 50, "1 failed: diverged")


def test_an_average_is_taken_over_tasks_before_seeds() -> None:
    """Seeds (.2 + .6) / 2 = .4 and (.4 + .8) / 2 = .6: the mean .5, the spread sqrt(.02)."""
    made = cells(spec(methods=("mpt",), seeds=2))
    lines = {
        "mpt mood,colour seed 0": {"results": {"mood": result(0.2), "colour": result(0.6)}},
        "mpt mood,colour seed 1": {"results": {"mood": result(0.4), "colour": result(0.8)}},
    }
    average = summarize(made, lines)[-1]
    assert (average.task, average.mean, average.spread) == ("(average)", pytest.approx(0.5), pytest.approx(0.02**0.5))


def test_one_task_has_no_average() -> None:
    made = cells(spec(tasks=("mood",)))
    assert [row.task for row in summarize(made, {})] == ["mood"]


@pytest.mark.parametrize(
    ("count", "words"),
    [(12, "12 B"), (3000, "3 kB"), (1e5, "100 kB"), (2.5e6, "2.5 MB"), (1e9, "1 GB"), (0.1, "0.1 B")],
)
def test_bytes_are_said_as_people_say_them(count: float, words: str) -> None:
    assert size(count) == words


def summary(method: str, kept: int, mean: float | None) -> Summary:
    return Summary("t", method, {}, "accuracy", "test", mean, None, 1, 10, kept, 1.0, "")


def test_equal_tables_give_equal_plots_and_other_tables_others(tmp_path: Path) -> None:
    rows = [summary("a", 4000, 0.5), summary("b", 4000, 0.6), summary("c", 9000, None)]
    files = [tmp_path / name for name in ("1.svg", "2.svg", "3.svg", "4.png")]
    draw(rows, ("a", "b", "c"), [files[0], files[3]], tmp_path)
    draw(rows, ("a", "b", "c"), [files[1]], tmp_path)
    draw(rows[:1], ("a", "b", "c"), [files[2]], tmp_path)
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    assert files[3].read_bytes().startswith(b"\x89PNG")


def test_a_comparison_without_a_result_still_has_a_plot(tmp_path: Path) -> None:
    draw([summary("a", 4000, None)], ("a",), [tmp_path / "empty.svg"], tmp_path)
    assert b"<svg" in (tmp_path / "empty.svg").read_bytes()
