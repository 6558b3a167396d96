"""Few-shot draws: how many rows of what, which of them, and what a run then learns from."""

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from methods import Backbone, Row
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.data import Data
from orchestrator.job import Job
from orchestrator.settings import Settings
from orchestrator.shots import draw, few, shortages
from orchestrator.specs import RunSpec, TaskSpec
from orchestrator.tasks import put
from tests.shows import Heard

LABELS = ("good", "bad", "bad", "good", "bad", "odd", "good", "bad")


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_has_so_many_rows_of_each_label_each_row_once(seed: int) -> None:
    """3 good, 4 bad and 1 odd: a draw of 2 has 2, 2 and all 1 that there is."""
    places = draw(LABELS, 2, seed)
    assert Counter(LABELS[place] for place in places) == {"good": 2, "bad": 2, "odd": 1}
    assert places == sorted(set(places))


def test_a_draw_depends_on_rows_shots_and_seed_alone() -> None:
    random.seed(1)
    first = draw(LABELS, 2, 7)
    random.seed(2)
    assert draw(LABELS, 2, 7) == first
    assert len({tuple(draw(LABELS, 2, seed)) for seed in range(20)}) > 5


def test_a_larger_draw_of_a_seed_holds_its_smaller_ones() -> None:
    several = [set(draw(LABELS, shots, 3)) for shots in (1, 2, 3, 9)]
    assert all(smaller < larger for smaller, larger in pairwise(several))
    assert several[-1] == set(range(8))


def test_every_row_of_a_label_is_drawn_equally_often() -> None:
    """2 of 6 rows, 900 times: 300 each, with a deviation of sqrt(900 * 1/3 * 2/3) = 14; four of them are 57."""
    found = Counter(place for seed in range(900) for place in draw([None] * 6, 2, seed))
    assert all(abs(found[place] - 300) < 57 for place in range(6))


def test_rows_without_a_label_of_the_task_are_drawn_from_as_one() -> None:
    tagged = [Row(tokens=(str(place),), tags=("x",)) for place in range(9)]
    chosen = [Row(str(place), choices=("a", str(place)), label=str(place)) for place in range(9)]
    assert (len(few("tagging", tagged, 4, 0)), len(few("multiple-choice", chosen, 4, 0))) == (4, 4)
    assert few("tagging", tagged, None, 0) == tagged
    pairs = [Row(str(place), pair="p", label=label) for place, label in enumerate(LABELS)]
    assert [row.label for row in few("pair", pairs, 1, 0)].count("odd") == 1
    assert len(few("pair", pairs, 1, 0)) == 3


def test_what_has_too_few_rows_is_named_by_its_label_and_never_by_a_text() -> None:
    rows = [Row("a text", label=label) for label in LABELS]
    assert list(shortages("classification", ("bad", "good", "none", "odd"), rows, 3)) == [
        "label 'none' has fewer training rows (0) than shots (3); all of them are taken",
        "label 'odd' has fewer training rows (1) than shots (3); all of them are taken",
    ]
    assert list(shortages("classification", ("bad", "good"), rows, 3)) == []
    assert list(shortages("multiple-choice", (), rows, 8)) == []
    (line,) = shortages("multiple-choice", (), rows, 9)
    assert line.startswith("the task has fewer training rows (8) than shots (9)")


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a task of twelve rows, the last of a label that three rows have."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    labels = ["good"] * 5 + ["bad"] * 4 + ["odd"] * 3
    rows = [{"text": "very " * place + "good", "label": label} for place, label in enumerate(labels)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = dict.fromkeys(("train", "validation"), str(tmp_path / "rows.jsonl"))
    with opened(settings := Settings()) as registry:
        put(
            registry,
            [TaskSpec.model_validate({"name": "mood", "kind": "classification", **files})],
            actor="me",
            replace=False,
        )
    return settings


def spec(**changes: Any) -> RunSpec:
    return RunSpec.model_validate({"tasks": ("mood",), "workers": 0} | changes)


def job(settings: Settings, **changes: Any) -> Job:
    with opened(settings) as registry:
        return runs.plan(spec(**changes), settings, registry, Heard())


def test_a_run_learns_from_its_draw_and_is_judged_by_all_rows(settings: Settings, tiny_folder: Path) -> None:
    """Text `place` has so many words more, so that its length tells which row it is."""
    backbone = Backbone.load(str(tiny_folder))

    def learned(**changes: Any) -> list[int]:
        data = Data(planned := job(settings, **changes), backbone, [planned.tasks[0].resolved()], 0, 1)
        assert len(data.judged(0, "validation")[0]) == 12
        lengths = [one.length for one in data.train[0]]
        return [length - 3 for length in lengths]  # [CLS], good, [SEP]

    assert learned() == list(range(12))
    first = learned(shots=2, seed=1)
    assert [sum(place in part for place in first) for part in (range(5), range(5, 9), range(9, 12))] == [2, 2, 2]
    assert learned(shots=2, seed=1) == first
    assert learned(shots=2, seed=2) != first
    assert learned(shots=9) == list(range(12))


def test_a_few_shot_run_says_so_in_its_plan_on_its_card_and_where_labels_are_short(settings: Settings) -> None:
    """4 shots of 5 good, 4 bad and 3 odd rows are 4 + 4 + 3."""
    few = {"shots": 4, "epochs": 1, "hyperparameters": {"length": 5}}
    few |= {"name": "few"}
    report = runs.train(spec(**few), settings, heard := Heard())
    assert [line for line in heard.lines if "shots" in line] == [
        "mood: label 'odd' has fewer training rows (3) than shots (4); all of them are taken"
    ]
    assert job(settings, **few).tasks[0].rows == {"train": 11, "validation": 12}
    with opened(settings) as registry:
        for name in ("mood:1", "shared/few:1"):
            card: Any = registry.resolve(name).card
            assert (card["data"]["mood"]["shots"], card["data"]["mood"]["rows"]["train"]) == (4, 11)
    again = runs.train(spec(**few), settings, Heard())
    assert [row.digest for row in again.rows] == [row.digest for row in report.rows]


def test_a_run_without_a_single_shot_is_refused() -> None:
    with pytest.raises(ValueError, match="shots"):
        RunSpec.model_validate({"tasks": ("mood",), "shots": 0})
