"""Comparisons in this process and on workers: run, left, taken up again, and quiet."""

import io
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console

from methods import Artifact, Backbone, Card, Learner, Task
from methods import method as make
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.comparison import comparisons
from orchestrator.comparison.cell import FirstRows, attempt, datasets
from orchestrator.comparison.comparisons import ComparisonReport
from orchestrator.comparison.errors import ComparisonExists, UnknownComparison
from orchestrator.comparison.grid import cells
from orchestrator.comparison.progress import Cells
from orchestrator.comparison.specs import Cell, Comparison, ComparisonSpec
from orchestrator.errors import InvalidSpec, RunFailed
from orchestrator.events import Tail
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec, TaskSpec
from orchestrator.tasks import put
from registry import NotFound

CANARY = "xylofonquartett"
THINGS = ("film", "book", "hotel", "train", "phone", "bridge")


def spec(**changes: Any) -> ComparisonSpec:
    given = {"tasks": ("mood", "colour"), "methods": ("head-only",), "seeds": 1, "epochs": 1, "batch_size": 4}
    return ComparisonSpec.model_validate(given | changes)


def write(file: Path, rows: list[dict[str, str]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def moods(things: tuple[str, ...]) -> list[dict[str, str]]:
    good = [{"text": f"the {thing} was very good {CANARY}", "label": "good"} for thing in things]
    bad = [{"text": f"a bad and dull {thing}", "label": "bad"} for thing in things]
    return [row for pair in zip(good, bad, strict=True) for row in pair]


def colours(things: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"question": f"which {thing}", "context": f"the old {thing} was {colour} in the night", "answer": colour}
        for thing in things
        for colour in ("red", "blue")
    ]


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with two small tasks, `mood` with a test file and `colour` without one, on the tiny backbone."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    return with_tasks(Settings(), tmp_path)


def with_tasks(settings: Settings, folder: Path) -> Settings:
    splits = {"train": THINGS[:4], "validation": THINGS[2:5], "test": THINGS[4:]}
    mood = {split: write(folder / f"mood-{split}.jsonl", moods(things)) for split, things in splits.items()}
    del splits["test"]
    colour = {split: write(folder / f"colour-{split}.jsonl", colours(things)) for split, things in splits.items()}
    tasks = [
        TaskSpec.model_validate({"name": "mood", "kind": "classification", **mood}),
        TaskSpec.model_validate({"name": "colour", "kind": "span-qa", **colour}),
    ]
    with opened(settings) as registry:
        put(registry, tasks, actor="me", replace=False)
    return settings


def quiet() -> Cells:
    return Cells(Console(file=io.StringIO()))


def compare(settings: Settings, **changes: Any) -> ComparisonReport:
    return comparisons.compare(spec(**changes), settings, quiet(), workers=0)


def done(report: ComparisonReport) -> dict[str, Mapping[str, Any]]:
    return {line["cell"]: line for line in Tail(Path(report.folder) / "cells.jsonl").new()}


def values(report: ComparisonReport) -> dict[str, Any]:
    return {
        f"{cell}: {task}": one["value"] for cell, line in done(report).items() for task, one in line["results"].items()
    }


SEVERAL = {"methods": ("head-only", "prompt-tuning", "lora", "mpt"), "seeds": 2, "grid": {"length": (5,)}}


def test_a_comparison_runs_its_cells_and_sums_them_up(settings: Settings, tiny_folder: Path) -> None:
    report = compare(settings, **SEVERAL)
    lines = done(report)
    assert (len(lines), report.cells, report.failed) == (3 * 2 * 2 + 2, 14, 0)
    assert set(lines) == {cell.name for cell in cells(spec(**SEVERAL))}
    assert [(row.task, row.n) for row in report.rows] == [(task, 2) for task in ["colour"] * 4 + ["mood"] * 4] + [
        ("(average)", 2)
    ] * 4
    by_name = {(row.task, row.method): row for row in report.rows}
    assert {(row.task, row.metric, row.split) for row in report.rows[:8]} == {
        ("mood", "accuracy", "test"),
        ("colour", "f1", "validation"),
    }
    head = 2 * 40 + 2
    width = 3 * 2 * 40
    costs = {
        method: (by_name["mood", method].parameters, by_name["mood", method].bytes) for method in SEVERAL["methods"]
    }
    assert costs == {
        "head-only": (head, 4 * head),
        "prompt-tuning": (head + 5 * 40, 4 * (head + 5 * 40)),
        "lora": (head + 3 * 2 * 2 * 8 * 40, 4 * (head + 3 * 2 * 2 * 8 * 40)),
        "mpt": (head + 5 + width, 4 * (head + 5 * width)),
    }
    value = [lines[f"lora mood seed {seed}"]["results"]["mood"]["value"] for seed in (0, 1)]
    assert by_name["mood", "lora"].mean == statistics.fmean(value)
    assert lines["lora mood seed 0"]["results"]["mood"]["rows"] == 4
    table = json.loads((Path(report.folder) / "table.json").read_text())
    assert [row["mean"] for row in table["rows"]] == [row.mean for row in report.rows]


def test_the_same_seeds_give_the_same_numbers(settings: Settings) -> None:
    some = {"methods": ("prefix-tuning", "adapter", "mpt"), "seeds": 2, "epochs": 2}
    first, second = compare(settings, **some), compare(settings, **some)
    assert first.id != second.id
    assert values(first) == values(second)
    assert len(set(values(first).values())) > 1


def test_a_resumed_comparison_runs_what_is_missing_and_no_more(settings: Settings) -> None:
    report = compare(settings, **SEVERAL)
    file = Path(report.folder) / "cells.jsonl"
    before = file.read_text().splitlines()
    gone = json.loads(before[5])["cell"]
    file.write_text("".join(f"{line}\n" for line in before if json.loads(line)["cell"] != gone))
    again = comparisons.resume(report.id, settings, quiet(), workers=0)
    after = file.read_text().splitlines()
    assert after[:-1] == before[:5] + before[6:]
    assert json.loads(after[-1])["cell"] == gone
    assert values(again) == values(report)
    assert [(row.method, row.mean) for row in again.rows] == [(row.method, row.mean) for row in report.rows]
    assert comparisons.resume(report.id, settings, quiet(), workers=0).failed == 0
    assert file.read_text().splitlines() == after


def test_a_cell_that_diverges_is_a_line_of_the_table_and_is_tried_again(settings: Settings) -> None:
    report = compare(settings, tasks=("mood",), methods=("head-only", "lora"), grid={"lr": (1e-3, 1e30)}, epochs=3)
    assert (report.cells, report.failed) == (3, 1)
    assert [(row.method, row.mean is None) for row in report.rows][-1] == ("lora", True)
    assert report.rows[-1].failed.startswith("1 failed: diverged: ")
    comparisons.resume(report.id, settings, quiet(), workers=0)
    tried = [line["cell"] for line in Tail(Path(report.folder) / "cells.jsonl").new()]
    wanted = [cell.name for cell in cells(planned(report, settings).spec)]
    assert tried == [*wanted, "lora lr=1e+30 mood seed 0"]


def planned(report: ComparisonReport, settings: Settings) -> Comparison:
    file = settings.home / "comparisons" / report.id / "comparison.json"
    return Comparison.model_validate_json(file.read_text())


def test_a_cell_that_a_method_refuses_says_why(settings: Settings) -> None:
    report = compare(settings, tasks=("mood",), methods=("prompt-tuning",), grid={"length": (10_000,)})
    assert (report.cells, report.failed) == (1, 1)
    assert "a prompt of length 10000 cannot start from" in report.rows[0].failed


def test_training_sees_the_first_rows_and_refuses_changed_files(
    settings: Settings, tiny_folder: Path, tmp_path: Path
) -> None:
    report = compare(settings, tasks=("mood",), rows=3, test_rows=2)
    assert done(report)["head-only mood seed 0"]["results"]["mood"]["rows"] == 2
    job = planned(report, settings).job
    backbone = Backbone.load(str(tiny_folder))
    data = FirstRows(job, backbone, 3, 2)
    assert [len(data.train[0]), len(data.judged(0, "held-out")[0])] == [3, 2]
    assert len(FirstRows(job, backbone, None, None).train[0]) == 8
    write(tmp_path / "mood-train.jsonl", moods(THINGS[:1]))
    with pytest.raises(RunFailed, match="the train file of task 'mood' changed"):
        _ = FirstRows(job, backbone, 3, 2).train
    with pytest.raises(InvalidSpec, match="the train file of task 'mood' changed since the comparison began"):
        comparisons.resume(report.id, settings, quiet(), workers=0)


def plan(settings: Settings, **changes: Any) -> Comparison:
    """A comparison of which no cell has run."""
    asked = spec(**changes)
    with opened(settings) as registry:
        job = runs.plan(RunSpec(tasks=asked.tasks), settings, registry, quiet())
    return Comparison(id="planned", spec=asked, job=job)


def drawn(made: Comparison, method: str, **changes: Any) -> list[list[int]]:
    """The token ids that a cell of `mood` trains on."""
    cell = Cell.model_validate({"method": method, "setting": {}, "tasks": ("mood",), "seed": 0} | changes)
    _, data = datasets(made, cell, "mood")
    return [one.input_ids for one in data.train[0]]


def test_every_method_of_a_seed_learns_from_the_same_draw(settings: Settings) -> None:
    made = plan(settings)
    first = drawn(made, "head-only", setting={"shots": 2})
    assert len(first) == 4  # two labels
    assert drawn(made, "lora", setting={"shots": 2, "rank": 3}) == first
    assert any(drawn(made, "lora", setting={"shots": 2}, seed=seed) != first for seed in (1, 2, 3))
    everything = drawn(made, "head-only")
    assert (len(everything), drawn(made, "lora", seed=1)) == (8, everything)
    assert [ids for ids in everything if ids in first] == first


def test_shots_are_drawn_from_the_first_rows(settings: Settings) -> None:
    """Good and bad rows take turns: the first 4 are 2 of each, whatever the seed."""
    made = plan(settings, rows=4)
    first = drawn(made, "head-only")
    assert len(first) == 4
    assert all(drawn(made, "head-only", setting={"shots": 2}, seed=seed) == first for seed in range(4))


def test_few_shot_cells_stand_beside_all_rows_and_a_label_with_too_few_is_named(settings: Settings) -> None:
    report = comparisons.compare(
        spec(grid={"shots": (1, 6, "all")}, seeds=2), settings, Cells(Console(file=(said := io.StringIO()))), workers=0
    )
    assert (report.cells, report.failed) == (3 * 2 * 2, 0)
    assert {str(row.setting) for row in report.rows} == {"{'shots': 1}", "{'shots': 6}", "{}"}
    assert {row.n for row in report.rows} == {2}
    assert "mood: label 'good' has fewer training rows (4) than shots (6)" in said.getvalue()
    assert "colour: the task has fewer" not in said.getvalue()
    assert CANARY not in said.getvalue()
    client = MlflowClient(settings.tracking_uri)
    found = client.search_runs([client.get_run(report.mlflow_run_id).info.experiment_id])
    assert sorted(run.data.params["shots"] for run in found if "shots" in run.data.params) == ["1"] * 4 + ["6"] * 4


def prompt(folder: Path, method: str, name: str) -> Artifact:
    """An untrained prompt of length 5 with a card; a shared one has no task."""
    backbone = Backbone.load(str(folder))
    task = Task("mood", "classification", ("bad", "good"))
    form, _ = Learner.new(backbone, make(method, {"length": 5}), [task], 0).fold(0)
    return Artifact(Card(name, None if "/" in name else task, method, {}, backbone.fingerprint), form)


def publish(settings: Settings, *several: Artifact) -> None:
    with opened(settings) as registry:
        for key, one in enumerate(several):
            registry.publish(one.card.name, one.to_bytes(), one.card.to_json(), idempotency_key=f"{key}", actor="me")


def test_methods_start_from_versions_beside_from_scratch(settings: Settings, tiny_folder: Path) -> None:
    publish(settings, *(prompt(tiny_folder, "prefix-tuning", name) for name in ("mood", "mood", "shared/src")))
    starts = {"mpt": ("shared:src", "shared/src:1"), "prefix-tuning": ("mood:2", "mood:1*1,mood:2*3")}
    report = compare(settings, methods=(*starts, "head-only"), starts=starts, grid={"length": (5,)}, seeds=2)
    assert (report.cells, report.failed) == (2 * (2 + 3 * 2 + 2), 0)
    found = {(row.method, row.setting.get("from")) for row in report.rows if row.task == "mood"}
    assert found == {
        ("mpt", None),
        ("mpt", "shared/src:1"),
        ("prefix-tuning", None),
        ("prefix-tuning", "mood:2"),
        ("prefix-tuning", "mood:1*1,mood:2*3"),
        ("head-only", None),
    }
    kept = Path(report.folder) / "starts"
    files = sorted(str(file.relative_to(kept)) for file in kept.rglob("*.safetensors"))
    assert files == ["mood:1.safetensors", "mood:2.safetensors", "shared/src:1.safetensors"]


def test_a_resumed_comparison_starts_where_it_did_although_the_registry_is_gone(
    settings: Settings, tiny_folder: Path
) -> None:
    publish(settings, prompt(tiny_folder, "prefix-tuning", "mood"))
    start = {"methods": ("prefix-tuning",), "starts": {"prefix-tuning": ("mood:1",)}, "grid": {"length": (5,)}}
    report = compare(settings, tasks=("mood",), **start)
    file = Path(report.folder) / "cells.jsonl"
    first, last = file.read_text().splitlines()
    assert [json.loads(line)["setting"] for line in (first, last)] == [{"length": 5}, {"from": "mood:1", "length": 5}]
    file.write_text(f"{first}\n")
    shutil.rmtree(settings.home / "store")
    (settings.home / "registry.db").unlink()
    again = comparisons.resume(report.id, settings, quiet(), workers=0)
    assert (again.failed, values(again)) == (0, values(report))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("mpt", "the given shared prompt is a soft prompt"),
        ("prompt-tuning", "the given prompt is a soft prompt of length 5"),
    ],
)
def test_what_a_cell_starts_from_reaches_its_method(
    settings: Settings, tiny_folder: Path, method: str, words: str
) -> None:
    """A prompt of another kind, or of another length than 16, is refused by the method itself."""
    cell = Cell(method=method, setting={"from": "mood:1"}, tasks=("mood",), seed=0)
    start = (prompt(tiny_folder, "prompt-tuning", "mood").to_bytes(),)
    assert words in attempt(plan(settings).model_dump_json(), cell.model_dump_json(), start)["failed"]


def test_a_start_that_is_not_there_is_said_first(settings: Settings) -> None:
    with pytest.raises(NotFound, match="unknown prompt 'mood'"):
        compare(settings, methods=("mpt",), starts={"mpt": ("mood:1",)})
    assert not (settings.home / "comparisons").exists()


@pytest.mark.parametrize(("tasks", "own"), [(("mood",), 5 * 240), (("mood", "colour"), 0)])
def test_a_task_that_is_trained_alone_counts_all_of_its_prompt(
    settings: Settings, tasks: tuple[str, ...], own: int
) -> None:
    """mpt: u [5], v [240] and a head of 2 * 40 + 2, with P* [5, 240] unless several tasks share it."""
    cell = Cell(method="mpt", setting={"length": 5}, tasks=tasks, seed=0)
    line = attempt(plan(settings).model_dump_json(), cell.model_dump_json(), ())
    assert {one["parameters"] for one in line["results"].values()} == {own + 5 + 240 + 2 * 40 + 2}


def test_what_nobody_foresaw_is_told_by_its_kind_alone(settings: Settings) -> None:
    """A row's text may stand in an error of a library; only the error's kind and place are kept."""
    cell = Cell(method="lora", setting={"alpha": 1.0}, tasks=("gone",), seed=0)
    line = attempt(plan(settings).model_dump_json(), cell.model_dump_json(), ())
    assert line["failed"].startswith("KeyError in cell.py:")


def test_comparisons_go_by_their_names(settings: Settings) -> None:
    report = compare(settings, name="mine")
    assert report.id == "mine"
    with pytest.raises(ComparisonExists, match="there is a comparison 'mine' already"):
        compare(settings, name="mine")
    for name in ("gone", "..", "../comparisons/mine"):
        with pytest.raises(UnknownComparison, match="no comparison"):
            comparisons.resume(name, settings, quiet(), workers=0)


def test_mlflow_gets_a_run_for_the_whole_and_one_below_it_for_each_cell(settings: Settings) -> None:
    report = compare(settings, tasks=("mood",), methods=("head-only", "lora"), rows=4)
    comparisons.resume(report.id, settings, quiet(), workers=0)
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("promptctl-comparisons")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {report.id, "head-only mood seed 0", "lora mood seed 0"}
    whole, lora = found[report.id], found["lora mood seed 0"]
    assert (whole.info.run_id, whole.info.status) == (report.mlflow_run_id, "FINISHED")
    assert lora.data.tags["mlflow.parentRunId"] == report.mlflow_run_id
    assert lora.data.metrics["mood/accuracy"] == report_value(report, "lora")
    assert lora.data.params == {
        "method": "lora", "tasks": "mood", "seed": "0", "epochs": "1", "batch_size": "4", "rows": "4",
    }  # fmt: skip
    kept = [file.path for file in client.list_artifacts(report.mlflow_run_id)]
    assert kept == ["comparison.png", "comparison.svg", "table.json"]


def report_value(report: ComparisonReport, method: str) -> float | None:
    return next(row.mean for row in report.rows if row.method == method)


def test_an_mlflow_that_is_down_does_not_stop_a_comparison(settings: Settings) -> None:
    down = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    report = compare(down, tasks=("mood",))
    assert (report.mlflow_run_id, report.failed) == ("", 0)


def test_no_text_of_a_row_is_written_anywhere(settings: Settings) -> None:
    compare(settings, methods=("prompt-tuning", "full"), grid={"lr": (1e-3, 1e30)})
    files = [file for file in settings.home.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".jsonl", ".json", ".png", ".svg", ".db"}
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []


@pytest.fixture
def short(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The same home with a path short enough for Ray's sockets, and a user's home that stays empty."""
    with tempfile.TemporaryDirectory(prefix="pctl") as folder:
        for name in ("rows", "user"):
            (Path(folder) / name).mkdir()
        monkeypatch.setenv("PROMPTCTL_HOME", folder)
        monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
        monkeypatch.setenv("HOME", str(Path(folder) / "user"))
        for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)
        yield with_tasks(Settings(), Path(folder) / "rows")


@pytest.mark.slow
def test_cells_on_two_workers_stopped_and_resumed_come_to_the_same(short: Settings) -> None:
    command = [sys.executable, "-m", "orchestrator.cli.main", "compare"]
    several = ["--tasks", "mood,colour", "--methods", "lora,mpt", "--seeds", "2", "--epochs", "8"]
    process = subprocess.Popen(
        [*command, *several, "--batch-size", "2", "--workers", "2", "--name", "stopped"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    file = short.home / "comparisons" / "stopped" / "cells.jsonl"
    deadline = time.monotonic() + 120
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 130, errors
    assert "stopped; to go on: promptctl compare --resume stopped" in errors
    early = list(Tail(file).new())
    assert 0 < len(early) < 6
    resumed = [*command, "--resume", "stopped", "--workers", "2", "-o", "json"]
    finished = subprocess.run(resumed, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    lines = list(Tail(file).new())
    assert (lines[: len(early)], len(lines)) == (early, 6)
    rows = json.loads(finished.stdout)["comparison"]["rows"]
    here = compare(short, methods=("lora", "mpt"), seeds=2, epochs=8, batch_size=2)
    assert [(row["method"], row["mean"]) for row in rows] == [(row.method, row.mean) for row in here.rows]
    assert list((short.home / "user").iterdir()) == []
    assert [name for name in short.home.rglob("*.log") if CANARY in name.read_text(errors="replace")] == []
