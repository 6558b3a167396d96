"""Gates on versions that always give one answer: every number is counted by hand."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from methods import Backbone
from orchestrator.access import opened
from orchestrator.gates import GATES, Result
from orchestrator.promotion.policy import Policy
from orchestrator.promotion.review import Case, reviewed
from orchestrator.settings import Settings
from registry import Registry, Version
from registry.database import Database, connect
from tests.promoted import always, task

LABELS = ("bad", "good")
# 40 rows: 30 good, 10 bad; by side: 20 good on the left, 10 good and 10 bad on the right; two of no side have no label
ROWS = [{"text": "good film", "label": "good", "side": "left"} for _ in range(20)]
ROWS += [{"text": "good film", "label": "good", "side": "right"} for _ in range(10)]
ROWS += [{"text": "bad film", "label": "bad", "side": "right"} for _ in range(10)]


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture
def registry(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry with the task `mood`."""
    with opened(Settings()) as there:
        task(there, tmp_path, "mood", ROWS)
        yield there


def judged(registry: Registry, version: Version, baseline: Version | None, **gates: Mapping[str, object]) -> Any:
    """What a policy's gates say, each by its name."""
    case = Case(version, "production", baseline, 1, Policy.model_validate({"gates": gates}))
    (report,) = reviewed(registry, [case])
    return {result.name: result for result in report.results}


def one(registry: Registry, version: Version, baseline: Version | None = None, /, **gates: Mapping[str, object]) -> Any:
    (found,) = judged(registry, version, baseline, **gates).values()
    return found


def mood(registry: Registry, backbone: Backbone, answer: str, **card: object) -> Version:
    return always(registry, backbone, "mood", answer, LABELS, **card)


def test_the_floor_is_of_the_held_out_rows(registry: Registry, backbone: Backbone) -> None:
    """30 of 40 are good."""
    version = mood(registry, backbone, "good")
    passed = one(registry, version, floor={"at_least": 0.75})
    said = "accuracy 0.750 on 40 held-out rows is at least 0.75"
    assert passed == Result("floor", True, {"accuracy": 0.75, "rows": 40}, 0.75, said)
    refused = one(registry, version, floor={"at_least": 0.76})
    assert (refused.passed, "under 0.76" in refused.sentence) == (False, True)


def test_a_fall_is_refused_with_its_interval_and_what_stays_passes(registry: Registry, backbone: Backbone) -> None:
    """10 of 40 against 30 of 40; each row is +1 or -1: a mean of -0.5 with a standard error of 0.866 / 40**0.5."""
    good, bad, again = (mood(registry, backbone, answer) for answer in ("good", "bad", "good"))
    fell = one(registry, bad, good, regression={"margin": 0.05})
    assert not fell.passed
    assert fell.numbers["difference"] == pytest.approx(-0.5)
    assert fell.numbers["low"] == pytest.approx(-0.5 - 1.96 * 0.1369, abs=0.03)
    assert (fell.limit, fell.numbers["accuracy"], fell.numbers["baseline_accuracy"]) == (-0.05, 0.25, 0.75)
    assert "accuracy 0.250 against 0.750 on 40 held-out rows: -0.500 (95% " in fell.sentence
    assert fell.sentence.endswith("a fall of more than 0.05")
    assert one(registry, good, bad, regression={"margin": 0.0}).passed
    assert one(registry, again, good, regression={"margin": 0.0}).passed
    assert one(registry, good, None, regression={"margin": 0.0}).passed


def test_rows_too_few_to_tell_let_nothing_pass(registry: Registry, backbone: Backbone, tmp_path: Path) -> None:
    """Of 2 against 2 rows the mean is 0, and its interval -1 to 1; below 30 rows nothing is told at all."""
    task(registry, tmp_path, "even", [{"text": "a", "label": label} for label in LABELS] * 20)
    task(registry, tmp_path, "few", [{"text": "a", "label": "good"}] * 28 + [{"text": "a", "label": "bad"}])
    for name, said in (("even", "40 rows do not rule out a fall of more than 0.1"), ("few", "too few to tell")):
        good, bad = (always(registry, backbone, name, answer, LABELS) for answer in ("good", "bad"))
        refused = one(registry, good, bad, regression={"margin": 0.1}) if name == "even" else None
        refused = refused or one(registry, bad, good, regression={"margin": 1.0})
        assert (refused.passed, said in refused.sentence) == (False, True)


def test_the_control_is_the_cards_or_a_version(registry: Registry, backbone: Backbone) -> None:
    version = mood(registry, backbone, "good", metrics={"accuracy": 0.75, "control_accuracy": 0.7})
    assert one(registry, version, control={"margin": 0.04}).passed
    refused = one(registry, version, control={"margin": 0.06})
    assert (refused.passed, refused.numbers) == (False, {"accuracy": 0.75, "control_accuracy": 0.7})
    assert "accuracy 0.750 against 0.700 of the head alone, +0.050: not more than 0.06" in refused.sentence
    control = always(registry, backbone, "mood-head", "bad", LABELS)
    assert one(registry, version, control={"version": control.reference, "margin": 0.1}).passed
    same = one(registry, version, control={"version": version.reference})
    assert not same.passed  # nothing is better than itself
    silent = one(registry, control, control={})
    assert (silent.passed, silent.numbers) == (False, {})


def test_what_a_pool_forgot_is_counted_by_session(registry: Registry, backbone: Backbone, tmp_path: Path) -> None:
    """`moods` has 12 rows of good and 8 of bad, `colours` 10 of red: who says red for good loses 12 of 20 rows."""
    every = (*LABELS, "red")
    task(registry, tmp_path, "moods", [{"text": "a", "label": "good"}] * 12 + [{"text": "a", "label": "bad"}] * 8)
    task(registry, tmp_path, "colours", [{"text": "a", "label": "red"}] * 9 + [{"text": "a", "label": "blue"}])
    first = always(registry, backbone, "pool", "good", LABELS, training={"sessions": ["moods"]})
    card = {"training": {"sessions": ["moods", "colours"], "start": first.reference}}
    lost = always(registry, backbone, "pool", "red", (*every, "blue"), **card)
    kept = always(registry, backbone, "pool", "good", (*every, "blue"), **card)
    for baseline in (first, None):  # without one, what it was made from
        refused = one(registry, lost, baseline, forgetting={"margin": 0.02})
        assert (refused.passed, refused.numbers) == (
            *(False, {"rows": 20, "right_before": 12, "right": 0, "sessions": 1}),
        )
        assert (
            "session moods: right answers fall from 12 to 0 of 20, which is more than 0.2 of them" in refused.sentence
        )
        assert one(registry, kept, baseline, forgetting={"margin": 0.02}).passed
    assert one(registry, first, None, forgetting={"margin": 0.0}).passed
    assert one(registry, mood(registry, backbone, "good"), None, forgetting={"margin": 0.0}).passed


def test_groups_are_compared_and_never_named(registry: Registry, backbone: Backbone) -> None:
    """Good is right about 20 of 20 on the left and 10 of 20 on the right."""
    version = mood(registry, backbone, "good")
    refused = one(registry, version, fairness={"column": "side", "at_most": 0.4})
    assert (refused.passed, refused.numbers["difference"], refused.numbers["groups"]) == (False, 0.5, 2)
    assert "accuracy is 0.500 to 1.000 in 2 groups by 'side', a difference of 0.500" in refused.sentence
    assert "left" not in f"{refused}".replace("left_out", "")
    assert one(registry, version, fairness={"column": "side", "at_most": 0.5}).passed
    for wrong in ({"column": "age"}, {"column": "side", "rows": 21}):
        unknown = one(registry, version, fairness={"at_most": 1.0} | wrong)
        assert (unknown.passed, "nothing to judge by" in unknown.sentence) == (False, True)


def test_bytes_and_training_rows_are_read_from_the_card(registry: Registry, backbone: Backbone) -> None:
    data = {"mood": {"rows": {"train": 300, "validation": 40}}, "(corrections) of mood:1": {"rows": 12}}
    version = mood(registry, backbone, "good", data=data)
    found = judged(registry, version, None, data={"rows": 312}, size={"bytes": version.size})
    assert (found["data"].passed, found["data"].numbers) == (True, {"rows": 312})
    assert (found["size"].passed, found["size"].numbers) == (True, {"bytes": version.size})
    assert list(found) == ["size", "data"]
    low = judged(registry, version, None, data={"rows": 313}, size={"bytes": version.size - 1})
    assert [result.passed for result in low.values()] == [False, False]
    assert low["data"].sentence == "312 training rows are fewer than 313"


def test_a_budget_bounds_only_what_was_trained_with_one(registry: Registry, backbone: Backbone) -> None:
    spent = {"epsilon": 3.0, "delta": 1e-5}
    dp = spent | {"noise_multiplier": 1.0, "clip": 1.0, "sample_rate": 0.1, "steps": 9, "accountant": "prv"}
    dp |= {"runs": {"a": spent, "b": spent}, "total": {"epsilon": 6.0, "delta": 2e-5}, "uncounted": ()}
    private = mood(registry, backbone, "good", training={"dp": dp})
    assert one(registry, private, epsilon={"at_most": 6.0}).passed
    refused = one(registry, private, epsilon={"at_most": 5.0})
    assert (refused.passed, refused.sentence) == (False, "epsilon 6 is more than 5")
    partly = mood(registry, backbone, "good", training={"dp": dp | {"uncounted": ("mood:1",)}})
    assert "1 versions without a budget" in one(registry, partly, epsilon={"at_most": 9.0}).sentence
    assert not one(registry, mood(registry, backbone, "bad"), epsilon={"at_most": 9.0}).passed


def test_an_audit_in_the_card_is_believed_and_what_cannot_be_attacked_is_refused(
    registry: Registry, backbone: Backbone
) -> None:
    audited = mood(registry, backbone, "good", metrics={"audit_auc": 0.55})
    assert one(registry, audited, audit={"at_most": 0.55}).passed
    assert not one(registry, audited, audit={"at_most": 0.54}).passed
    silent = one(registry, mood(registry, backbone, "bad"), audit={"at_most": 0.9})
    assert (silent.passed, "does not say how it was trained" in silent.sentence) == (False, True)


def test_a_metric_that_the_rows_do_not_have_is_no_pass(registry: Registry, backbone: Backbone) -> None:
    refused = one(registry, mood(registry, backbone, "good"), floor={"at_least": 0.1, "metric": "f1"})
    assert refused.sentence == "nothing to judge by: the held-out rows have no metric 'f1'; they have accuracy"


def test_a_task_that_is_gone_is_no_pass(registry: Registry, backbone: Backbone) -> None:
    stray = always(registry, backbone, "stray", "good", LABELS)
    assert "unknown task 'stray'" in one(registry, stray, floor={"at_least": 0.0}).sentence


def test_gates_do_not_run_inside_a_write_transaction(registry: Registry, backbone: Backbone) -> None:
    case = Case(mood(registry, backbone, "good"), "production", None, 0, Policy())
    database = Database(connect(Settings().database_url))
    with pytest.raises(RuntimeError, match="running gates inside a write transaction"), database.write():
        reviewed(registry, [case])
    database.close()


def test_every_gate_is_named_in_a_policy_by_its_line_in_the_table() -> None:
    assert set(Policy().gates.model_fields_set) == set()
    assert [*type(Policy().gates).model_fields] == [*GATES]
