"""A run from files to published versions, in this process: everything but the cluster."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from methods import Artifact, Backbone, InvalidSetting, Prefix, Row, encode, predict
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.errors import InvalidSpec, RunFailed, TooManyBadRows
from orchestrator.events import Event, Tail
from orchestrator.publishing import RunReport
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec, TaskSpec
from orchestrator.tasks import put
from orchestrator.worker import Work
from registry import Move
from tests.shows import Heard

CANARY = "xylofonquartett"
THINGS = ("film", "book", "hotel", "train", "phone", "bridge")


def write(file: Path, rows: Sequence[Mapping[str, object]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def moods(things: tuple[str, ...]) -> list[dict[str, str]]:
    good = [{"text": f"the {thing} was very good {CANARY}", "label": "good"} for thing in things]
    return good + [{"text": f"a bad and dull {thing}", "label": "bad"} for thing in things]


def colours(things: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"question": f"which {thing}", "context": f"the old {thing} was {colour} in the night", "answer": colour}
        for thing in things
        for colour in ("red", "blue")
    ]


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with two small tasks, `mood` and `colour`, on the tiny backbone."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    monkeypatch.setenv("PROMPTCTL_CHECKPOINT_S", "0.01")
    settings = Settings()
    splits = {"train": THINGS, "validation": THINGS[:2], "test": THINGS[2:]}
    mood = {split: write(tmp_path / f"mood-{split}.jsonl", moods(things)) for split, things in splits.items()}
    colour = {split: write(tmp_path / f"colour-{split}.jsonl", colours(things)) for split, things in splits.items()}
    tasks = [
        TaskSpec.model_validate({"name": "mood", "kind": "classification", **mood}),
        TaskSpec.model_validate({"name": "colour", "kind": "span-qa", **colour}),
    ]
    with opened(settings) as registry:
        put(registry, tasks, actor="me", replace=False)
    return settings


def spec(**changes: object) -> RunSpec:
    given = {"tasks": ("mood", "colour"), "workers": 0, "epochs": 2, "batch_size": 4, "hyperparameters": {"length": 5}}
    return RunSpec.model_validate(given | changes)


def train(settings: Settings, **changes: object) -> RunReport:
    return runs.train(spec(**changes), settings, Heard())


def test_a_run_publishes_a_shared_prompt_and_one_version_per_task(settings: Settings, tiny_folder: Path) -> None:
    report = train(settings)
    assert report.shared == "shared/default:1"
    with opened(settings) as registry:
        for row in report.rows:
            version = registry.resolve(row.reference)
            card: Any = version.card
            artifact = Artifact.from_bytes(registry.fetch(version))
            artifact.check_backbone(Backbone.load(str(tiny_folder)).fingerprint)
            assert artifact.nbytes == row.bytes
            assert [(parent.name, parent.role) for parent in version.parents] == [("shared/default", "shared")]
            assert card["metrics"][row.metric] == row.value
            assert card["metrics"][f"control_{row.metric}"] == row.control
            assert card["mlflow_run_id"] == report.mlflow_run_id != ""
            assert card["data"][row.task]["rows"]["train"] == 12
            assert len(card["data"][row.task]["sha256"]["train"]) == 64
        assert registry.run(report.run_id).status == "SUCCEEDED"
    mood, colour = report.rows
    factors = 5 + 3 * 2 * 40
    assert (mood.parameters, colour.parameters) == (factors + 2 * 40 + 2, factors + 2 * 40 + 2)
    assert mood.bytes == 4 * (5 * 240 + 82)


@pytest.mark.parametrize("method", ["prompt-tuning", "prefix-tuning"])
def test_other_methods_publish_without_a_shared_prompt(settings: Settings, method: str) -> None:
    report = train(settings, method=method, epochs=1)
    assert report.shared is None
    assert [row.reference for row in report.rows] == ["mood:1", "colour:1"]


def test_the_same_run_twice_gives_the_same_bytes(settings: Settings) -> None:
    first, second = train(settings), train(settings)
    assert [row.digest for row in first.rows] == [row.digest for row in second.rows]
    assert [row.reference for row in second.rows] == ["mood:2", "colour:2"]


def test_a_run_can_start_from_a_shared_prompt(settings: Settings) -> None:
    train(settings, name="base")
    report = train(settings, tasks=("mood",), start="shared:base", name="next")
    with opened(settings) as registry:
        shared = registry.resolve("shared/next:1")
        assert [(parent.name, parent.role) for parent in shared.parents] == [("shared/base", "init")]
        card: Any = registry.resolve(report.rows[0].reference).card
        assert card["training"]["start"] == "shared/base:1"


def test_a_target_starts_at_the_mean_factors_and_stands_alone(settings: Settings) -> None:
    train(settings, name="base")
    with opened(settings) as registry:
        shared = Artifact.from_bytes(registry.fetch(registry.resolve("shared/base:1")))
        sources = [Artifact.from_bytes(registry.fetch(registry.resolve(f"{name}:1"))) for name in ("mood", "colour")]
        before = [registry.fetch(registry.resolve(f"{name}:1")) for name in ("mood", "colour")]
    torch.testing.assert_close(shared.factors["u"], (sources[0].factors["u"] + sources[1].factors["u"]) / 2)
    still = {"length": 5, "learning_rate": 0.0, "factor_learning_rate": 0.0}
    (row,) = train(settings, tasks=("mood",), start="shared:base", name="next", hyperparameters=still).rows
    with opened(settings) as registry:
        made = Artifact.from_bytes(registry.fetch(registry.resolve(row.reference)))
        assert [registry.fetch(registry.resolve(f"{name}:1")) for name in ("mood", "colour")] == before
    assert isinstance(made.form, Prefix)
    assert isinstance(shared.form, Prefix)
    product = (shared.factors["u"] @ shared.factors["v"]).view(5, 3, 2, 4, 10).permute(1, 2, 3, 0, 4)
    torch.testing.assert_close(made.form.key_values, shared.form.key_values * product)


def test_a_run_trains_its_teachers_first_and_logs_what_they_add(settings: Settings) -> None:
    report = train(settings, hyperparameters={"length": 5, "distillation": 0.5})
    events = list(Tail(settings.runs / report.run_id / "events.jsonl").new())
    assert list(dict.fromkeys(event["phase"] for event in events if "step" in event)) == [
        "head-only",
        "teachers",
        "mpt",
    ]
    for event in (event for event in events if event.get("phase") == "mpt" and "step" in event):
        parts = event["parts"]
        assert event["loss"] == pytest.approx(parts["task"] + 0.5 * (parts["logits"] + parts["hidden"]), rel=1e-3)
    run = MlflowClient(settings.tracking_uri).get_run(report.mlflow_run_id)
    assert {"mpt/task_loss", "mpt/logits_loss", "mpt/hidden_loss", "teachers/loss"} <= set(run.data.metrics)


def test_versions_of_the_registry_can_teach(settings: Settings) -> None:
    train(settings, method="prefix-tuning", epochs=1)
    given = {"length": 5, "distillation": 0.5}
    report = train(settings, hyperparameters=given, teachers="colour:1,mood:1")
    events = list(Tail(settings.runs / report.run_id / "events.jsonl").new())
    assert {event["phase"] for event in events if "step" in event} == {"head-only", "mpt"}
    with opened(settings) as registry:
        shared = registry.resolve(report.shared or "")
        card: Any = shared.card
    assert card["training"]["teachers"] == "colour:1,mood:1"
    assert {(parent.name, parent.role) for parent in shared.parents} == {("mood", "teacher"), ("colour", "teacher")}


TAUGHT = {"length": 5, "distillation": 0.5}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teachers": "mood:1"}, "--teachers names versions of mood; give one of each of mood, colour"),
        ({"teachers": "mood:1,mood:1"}, "--teachers 'mood:1,mood:1' names a version twice"),
        ({"teachers": "mood:1,colour:1", "method": "prefix-tuning", "hyperparameters": {}}, "mpt trains together"),
        ({"teachers": "mood:1,colour:1", "start": "mood:1"}, "mpt trains together from scratch"),
        ({"teachers": "mood:1,colour:1", "hyperparameters": {"length": 5}}, "mpt trains together from scratch"),
        ({"start": "mood:1"}, "mpt trains together from scratch"),
        ({"tasks": ("mood",)}, "mpt trains together from scratch"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(settings: Settings, changes: dict[str, Any], words: str) -> None:
    train(settings, method="prefix-tuning", epochs=1)
    with pytest.raises((RunFailed, InvalidSpec), match=words):
        train(settings, **{"hyperparameters": TAUGHT} | changes)
    with pytest.raises(ValueError, match="none has a weight"):
        train(settings, teachers="mood:1*2")


def test_a_task_alone_shares_nothing_unless_it_is_told_to(settings: Settings) -> None:
    assert train(settings).shared == "shared/default:1"
    assert train(settings, tasks=("mood",), epochs=1).shared is None
    assert train(settings, tasks=("mood",), epochs=1, name="own").shared == "shared/own:1"


def test_a_target_needs_its_source_no_longer_and_leaves_it_as_it_was(settings: Settings, tiny_folder: Path) -> None:
    """Answers are predicted before and after, and with the bytes of the shared prompt gone."""
    train(settings, name="base")
    backbone = Backbone.load(str(tiny_folder))
    asked = Row("the film was very good")

    def answered(reference: str) -> list[float]:
        with opened(settings) as registry:
            artifact = Artifact.from_bytes(registry.fetch(registry.resolve(reference)))
        assert artifact.card.task is not None
        return predict(backbone, [(artifact, encode(backbone, artifact.card.task, asked)[0])])[0].tolist()

    before = answered("mood:1")
    report = train(settings, tasks=("mood",), start="shared:base", hyperparameters={"length": 5})
    (row,) = report.rows
    assert report.shared is None, "a target leaves the shared prompt to its sources"
    assert row.parameters == 5 * 240 + 5 + 240 + 82
    with opened(settings) as registry:
        assert [version.number for version in registry.versions("shared/base")] == [1]
        assert [(one.name, one.role) for one in registry.resolve("mood:2").parents] == [("shared/base", "init")]
        digest = registry.resolve("shared/base:1").digest.removeprefix("sha256:")
    own = answered("mood:2")
    (blob,) = [file for file in settings.home.rglob(f"*{digest}*") if file.is_file()]
    blob.unlink()
    assert answered("mood:2") == own
    assert answered("mood:1") == before
    frozen = train(
        settings, tasks=("mood",), start="colour:1", hyperparameters={"length": 5, "freeze_shared": True}, name="own"
    )
    assert frozen.rows[0].parameters == 5 + 240 + 82


def test_a_run_can_start_from_a_mix_of_versions(settings: Settings) -> None:
    still = {"length": 5, "learning_rate": 0.0}
    for seed in (1, 2):
        train(settings, tasks=("mood",), method="prefix-tuning", epochs=1, seed=seed)
    with opened(settings) as registry:
        registry.promote([Move("mood:2")], actor="me")
    mix = {"method": "prefix-tuning", "epochs": 1, "hyperparameters": still}
    (row,) = train(settings, tasks=("colour",), start="mood:1*3,mood*1", **mix).rows
    with opened(settings) as registry:
        version = registry.resolve(row.reference)
        first, second, mixed = (
            Artifact.from_bytes(registry.fetch(registry.resolve(name))).form
            for name in ("mood:1", "mood:2", "colour:1")
        )
    assert [(parent.name, parent.number, parent.role) for parent in version.parents] == [
        ("mood", 1, "init"),
        ("mood", 2, "init"),
    ]
    card: Any = version.card
    assert card["training"]["start"] == "mood:1*3,mood:2*1"
    assert isinstance(first, Prefix)
    assert isinstance(second, Prefix)
    assert isinstance(mixed, Prefix)
    assert not torch.allclose(first.key_values, second.key_values, atol=1e-2)
    torch.testing.assert_close(mixed.key_values, 0.75 * first.key_values + 0.25 * second.key_values)


def test_prompts_of_two_methods_do_not_mix(settings: Settings) -> None:
    train(settings, tasks=("mood",), method="prefix-tuning", epochs=1)
    train(settings, tasks=("colour",), method="prompt-tuning", epochs=1)
    heard = Heard()
    with pytest.raises(RunFailed, match="cannot be mixed") as caught:
        runs.train(spec(tasks=("mood",), start="mood:1,colour:1"), settings, heard)
    assert caught.value.hint
    assert heard.events == []


def test_cached_activations_and_checkpointing_change_no_result(settings: Settings) -> None:
    upper = {"tasks": ("mood",), "method": "prefix-tuning", "hyperparameters": {"length": 3, "layers": "last:1"}}
    plain, cached, recomputed = (
        train(settings, **upper, **more).rows[0]
        for more in ({}, {"cache_activations": True}, {"gradient_checkpointing": True})
    )
    with opened(settings) as registry:
        forms = [
            Artifact.from_bytes(registry.fetch(registry.resolve(row.reference))).form
            for row in (plain, cached, recomputed)
        ]
    tensors = [form.key_values for form in forms if isinstance(form, Prefix)]
    torch.testing.assert_close(tensors[1], tensors[0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(tensors[2], tensors[0], atol=1e-4, rtol=1e-3)


def test_a_worker_recomputes_activations_where_the_run_says_so(settings: Settings) -> None:
    with opened(settings) as registry:
        for wanted in (False, True):
            job = runs.plan(spec(gradient_checkpointing=wanted), settings, registry, Heard())
            layers = Work(job, [], [], rank=0, world=1).backbone.model.modules()
            assert any(layer.training for layer in layers) == wanted  # only layers that recompute think they train


def test_a_prompt_that_changes_the_first_layer_leaves_nothing_to_cache(settings: Settings) -> None:
    heard = Heard()
    with pytest.raises(RunFailed, match="there is nothing to cache"):
        runs.train(spec(cache_activations=True), settings, heard)
    assert heard.events == []


def test_every_step_reaches_mlflow_and_nothing_else_does(settings: Settings) -> None:
    report = train(settings)
    client = MlflowClient(settings.tracking_uri)
    run = client.get_run(report.mlflow_run_id)
    steps = client.get_metric_history(run.info.run_id, "mpt/loss")
    assert [metric.step for metric in steps] == list(range(1, 13))
    assert run.info.status == "FINISHED"
    assert run.data.metrics["mpt/mood/held_out_accuracy"] == report.rows[0].value
    assert set(run.data.tags) == {"promptctl.run", "mlflow.runName"}


def test_a_tracking_server_that_is_down_does_not_stop_a_run(settings: Settings) -> None:
    heard = Heard()
    down = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    report = runs.train(spec(), down, heard)
    assert report.mlflow_run_id == ""
    assert any("MLflow failed (MlflowException); the run goes on" in line for line in heard.lines)
    with opened(settings) as registry:
        assert registry.run(report.run_id).status == "SUCCEEDED"


def test_a_store_that_fails_leaves_a_failed_run(settings: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "store"
    broken.mkdir()
    (broken / "blobs").write_text("not a folder")
    with pytest.raises(Exception, match=r"store|blobs"):
        runs.train(spec(), settings.model_copy(update={"store_url": str(broken)}), Heard())
    with opened(settings) as registry:
        assert registry.runs()[0].status == "FAILED"


def test_no_text_of_a_row_is_written_anywhere(settings: Settings) -> None:
    train(settings)
    files = [file for file in settings.home.rglob("*") if file.is_file()]
    assert any(file.suffix == ".safetensors" for file in files)
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []


COMMAND = [sys.executable, "-m", "orchestrator.cli.main", "train"]
SAME = ["--epochs", "6", "--batch-size", "4", "--workers", "0"]


def kill_when(reached: Callable[[list[Event]], bool], settings: Settings, *more: str) -> str:
    """Start a run of its own process and end it with SIGKILL as soon as its events say so."""
    command = [*COMMAND, "--tasks", "mood,colour", *SAME, *(more or ("--set", "length=5"))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for file in settings.runs.glob("*/events.jsonl"):
            if reached(list(Tail(file).new())):
                process.send_signal(signal.SIGKILL)
                process.wait()
                return file.parent.name
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    raise AssertionError("the run did not get that far")


KILLED: list[tuple[str, str, dict[str, Any]]] = [
    ("head-only", "mpt", {}),
    ("teachers", "mpt", {"distillation": 0.5}),
    ("mpt", "mpt", {"distillation": 0.5, "sampling": "stochastic"}),
    ("prompt-tuning", "prompt-tuning", {}),
    ("prefix-tuning", "prefix-tuning", {"reparameterization": "mlp"}),
    ("p-tuning", "p-tuning", {"encoder": "lstm"}),
    ("p-tuning-v2", "p-tuning-v2", {"layers": "last:1"}),
]


@pytest.mark.parametrize(("phase", "method", "more"), KILLED, ids=[phase for phase, _, _ in KILLED])
def test_a_run_killed_anywhere_resumes_to_the_same_bytes(
    settings: Settings, phase: str, method: str, more: dict[str, Any]
) -> None:
    given = {"length": 5} | more
    cached = method == "p-tuning-v2"  # the lower layers' states are kept in memory, and are gone with the process
    whole = train(settings, method=method, hyperparameters=given, epochs=6, cache_activations=cached)
    for old in settings.runs.iterdir():
        (old / "events.jsonl").unlink()
    options = ["--method", method, *(part for key, value in given.items() for part in ("--set", f"{key}={value}"))]
    run_id = kill_when(
        lambda new: any(e.get("phase") == phase and e.get("step", 0) > 3 for e in new),
        settings,
        *options,
        *(["--cache-activations"] if cached else []),
    )
    with opened(settings) as registry:
        assert len(registry.versions("mood")) == 1
    report = runs.resume(run_id, settings, heard := Heard())
    assert "newest checkpoint" in heard.lines[0]
    assert [row.digest for row in report.rows] == [row.digest for row in whole.rows]
    with opened(settings) as registry:
        assert registry.run(run_id).attempt == 2


def test_a_run_whose_data_changed_does_not_resume(settings: Settings, tmp_path: Path) -> None:
    run_id = kill_when(lambda new: any("checkpoint" in event for event in new), settings)
    with (tmp_path / "mood-train.jsonl").open("a") as file:
        file.write(json.dumps({"text": "new", "label": "good"}) + "\n")
    with pytest.raises(InvalidSpec, match="train file of task 'mood' changed"):
        runs.resume(run_id, settings, Heard())


def test_what_is_wrong_is_said_before_anything_starts(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="lenght"):
        train(settings, hyperparameters={"lenght": 3})
    with pytest.raises(ValueError, match="a name is 1 to 63"):
        train(settings, name="No Such Name")
    with pytest.raises(InvalidSpec, match="names no versions"):
        train(settings, start="mood:1*much")
    write(tmp_path / "mood-test.jsonl", [{"text": CANARY, "label": "strange"}] * 5)
    with pytest.raises(TooManyBadRows, match=r"mood-test.jsonl:1") as caught:
        train(settings)
    assert CANARY not in str(caught.value)
    with opened(settings) as registry:
        assert registry.runs() == []


def test_a_failed_run_publishes_nothing_and_says_why(settings: Settings) -> None:
    heard = Heard()
    train(settings, name="wide")
    with pytest.raises(Exception, match="the given shared prompt is a prefix") as caught:
        runs.train(spec(start="shared:wide", hyperparameters={"form": "soft-prompt"}), settings, heard)
    assert "add --set form=prefix" in getattr(caught.value, "hint", "")
    with opened(settings) as registry:
        assert registry.runs()[0].status == "FAILED"
        assert len(registry.versions("mood")) == 1


def test_resuming_what_has_ended_is_refused(settings: Settings) -> None:
    report = train(settings, epochs=1)
    with pytest.raises(Exception, match=report.run_id) as caught:
        runs.resume(report.run_id, settings, Heard())
    assert getattr(caught.value, "code", "") == "conflict"
