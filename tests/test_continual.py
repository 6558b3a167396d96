"""Prompts that learn on, from tasks to versions: what each session publishes, keeps and refuses."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from methods import Artifact, Backbone, Row, encode, predict
from methods.continual.version import block_digests, learned_of
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.answering import ready
from orchestrator.continual.sessions import learn
from orchestrator.continual.tracking import FOLDER, keep, mlflow_run
from orchestrator.errors import InvalidSpec
from orchestrator.publishing import RunReport
from orchestrator.settings import Settings
from orchestrator.shadows import Recipe
from orchestrator.specs import TaskSpec
from orchestrator.tasks import put
from registry import Conflict, Registry, Version
from serve.schemas import Input
from tests.methods.sessions import SMALL
from tests.published import published, soft
from tests.serve.engines import engine_of, numbers, run
from tests.shows import Heard
from tests.streams import CANARY, settled, spec, written

PAPER = {**SMALL["coda"], "head": "sessions"}  # a block for each session
ASKED = Row("the old hotel was red")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Settings:
    """A home in which `assistant` has learned moods and colours, and `paper` too, with a block for each."""
    settings = settled(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("rows"), tiny_folder)
    reports = list(learn(spec("moods", "colours"), settings, Heard()))
    assert [row.reference for report in reports for row in report.rows] == ["assistant:1", "assistant:2"]
    list(learn(spec("moods", "colours", name="paper", hyperparameters=PAPER), settings, Heard()))
    return settings


@pytest.fixture
def settings(first: Settings, home: Path) -> Settings:
    """A copy of it, for what is learned since."""
    shutil.copytree(first.home, home, dirs_exist_ok=True)
    return Settings(home=home, backbone=first.backbone, actor="ada")


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with opened(settings) as there:
        yield there


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


def test_a_drawing_is_kept_with_the_run_that_learned_the_session(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    (drawing := tmp_path / "memory.svg").write_text("<svg/>")
    known = mlflow_run(registry, "assistant:2")
    down = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    # first, because MLflow remembers in this process where a run's files lie
    assert keep(down, known, [drawing]) == "MLflow did not take the drawing (MlflowException)"
    assert keep(settings, known, [drawing]) == f"also in MLflow, run {known}"
    kept = MlflowClient(settings.tracking_uri).list_artifacts(known, FOLDER)
    assert [one.path for one in kept] == [f"{FOLDER}/memory.svg"]


def artifact(registry: Registry, reference: str) -> Artifact:
    return Artifact.from_bytes(registry.fetch(registry.resolve(reference)))


def card(registry: Registry, reference: str) -> Any:
    return registry.resolve(reference).card


def answered(backbone: Backbone, one: Artifact) -> np.ndarray:
    assert one.card.task is not None
    return predict(backbone, [(one, encode(backbone, one.card.task, ASKED)[0])])[0]


def again(settings: Settings, *tasks: str, **changes: object) -> list[RunReport]:
    return list(learn(spec(*tasks, **changes), settings, Heard()))


def test_each_session_publishes_a_version_of_one_prompt_that_answers_among_all_labels(registry: Registry) -> None:
    first, second = card(registry, "assistant:1"), card(registry, "assistant:2")
    assert first["task"]["labels"] == ["bad", "good"]
    assert second["task"]["labels"] == ["bad", "good", "blue", "green", "red"]
    assert (first["training"]["sessions"], second["training"]["sessions"]) == (["moods"], ["moods", "colours"])
    assert (first["training"]["start"], second["training"]["start"]) == (None, "assistant:1")
    assert [(one.name, one.number, one.role) for one in registry.resolve("assistant:2").parents] == [
        ("assistant", 1, "init")
    ]
    assert second["data"]["moods"] == first["data"]["moods"]
    assert second["data"]["colours"]["rows"] == {"train": 12, "validation": 6, "test": 9}
    assert set(second["metrics"]) == {"accuracy", "accuracy.moods", "accuracy.colours"}
    both = (second["metrics"]["accuracy.moods"] + second["metrics"]["accuracy.colours"]) / 2
    assert second["metrics"]["accuracy"] == pytest.approx(both)
    assert {prompt.name for prompt in registry.prompts()} == {"assistant", "paper"}, "no shared prompt"
    assert {one.status for one in registry.runs()} == {"SUCCEEDED"}


def test_the_card_names_the_digest_of_every_block_and_old_blocks_keep_theirs(registry: Registry) -> None:
    first, second = (card(registry, f"paper:{number}")["training"]["blocks"] for number in (1, 2))
    assert (len(first), len(second), second[0]) == (1, 2, first[0])
    assert first[0] != second[1]
    rows = card(registry, "paper:2")["training"]["head_rows"]
    assert rows == [2, 3]
    assert block_digests(learned_of(artifact(registry, "paper:2")), rows) == second
    trained_once = [card(registry, f"assistant:{number}")["training"]["blocks"] for number in (1, 2)]
    assert trained_once[0] == trained_once[1]
    assert len(trained_once[0]) == 1


@pytest.mark.parametrize("name", ["assistant", "paper"])
def test_later_sessions_go_on_from_the_newest_version_and_change_no_old_one(
    settings: Settings, registry: Registry, tiny: Backbone, name: str
) -> None:
    references = (f"{name}:1", f"{name}:2")
    blobs = [registry.fetch(registry.resolve(reference)) for reference in references]
    answers = [answered(tiny, Artifact.from_bytes(blob)) for blob in blobs]
    given = PAPER if name == "paper" else SMALL["coda"]
    (report,) = again(settings, "places", name=name, hyperparameters=given)
    assert [row.reference for row in report.rows] == [f"{name}:3"]
    third = card(registry, f"{name}:3")
    assert third["training"]["sessions"] == ["moods", "colours", "places"]
    assert third["training"]["start"] == f"{name}:2"
    assert third["task"]["labels"] == ["bad", "good", "blue", "green", "red", "hotel", "tower"]
    assert third["training"]["blocks"][:1] == card(registry, f"{name}:1")["training"]["blocks"]
    assert [registry.fetch(registry.resolve(reference)) for reference in references] == blobs
    for reference, before in zip(references, answers, strict=True):
        np.testing.assert_array_equal(answered(tiny, artifact(registry, reference)), before)
    assert len(answered(tiny, artifact(registry, f"{name}:3"))) == 7


def test_a_session_that_is_stopped_resumes_to_the_bytes_that_it_would_have_had(
    settings: Settings, registry: Registry
) -> None:
    (whole,) = again(settings, "places")
    asked = spec("places", start="assistant:2")
    job = runs.plan(asked, settings, registry, Heard())
    registry.start_run(job.run_id, job.model_dump(mode="json"), actor="ada")
    report = runs.resume(job.run_id, settings, Heard())
    assert [row.digest for row in report.rows] == [row.digest for row in whole.rows]


def test_the_card_says_what_sums_are_kept_and_to_guard_them(registry: Registry) -> None:
    said = card(registry, "assistant:2")["training"]["statistics"]
    assert {key: said[key] for key in ("kept", "minimum", "rows")} == {
        "kept": ["counts", "gram", "sums"],
        "minimum": 3,
        "rows": 4 * 5,  # of each of five labels
    }
    assert said["guard"].startswith("like the rows")
    assert "statistics" not in card(registry, "paper:2")["training"]


def test_a_session_that_another_one_overtook_is_not_published(settings: Settings, registry: Registry) -> None:
    """Two runs begin from assistant:2; the second one to end would leave out what the first one learned."""

    class Overtaking(Heard):
        def say(self, text: str) -> None:
            if text == "publishing":
                registry.publish("assistant", b"another", {}, idempotency_key="another", actor="bob")

    with pytest.raises(Conflict, match="assistant:3 was published since this version was begun from assistant:2"):
        list(learn(spec("places"), settings, Overtaking()))
    assert [version.number for version in registry.versions("assistant")] == [3, 2, 1]


def test_what_an_older_version_leaves_behind_is_said_and_the_next_run_asks_which_one(
    settings: Settings, registry: Registry
) -> None:
    heard = Heard()
    list(learn(spec("places", start="assistant:1"), settings, heard))
    assert "assistant:1 does not know colours, which assistant:2 does; it stays behind" in heard.lines
    with pytest.raises(Conflict, match="they grew apart") as caught:
        again(settings, "colours")
    assert "--from assistant:3 or --from assistant:2" in caught.value.hint
    again(settings, "colours", start="assistant:3")
    (report,) = again(settings, "moods")
    assert card(registry, report.rows[0].reference)["training"]["sessions"] == ["moods", "places", "colours", "moods"]


def test_later_sessions_have_the_settings_of_the_first_and_refuse_others(
    settings: Settings, registry: Registry
) -> None:
    list(learn(spec("places", hyperparameters={}), settings, Heard()))
    first, last = card(registry, "assistant:1"), card(registry, "assistant:3")
    assert last["hyperparameters"] == first["hyperparameters"]
    for other in ({"random_features": 16}, {"components": 3}, {"read_layers": "last:1"}, {"length": 3}):
        (name,) = other
        with pytest.raises(Exception, match=f"the first session decided .*{name}"):
            list(learn(spec("moods", hyperparameters=other), settings, Heard()))
    assert [version.number for version in registry.versions("assistant")] == [3, 2, 1]


def test_a_task_of_one_label_is_a_session_after_the_first(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    file = written(tmp_path / "rooms.jsonl", [{"text": f"{one} room", "label": "room"} for one in ("a", "the", "old")])
    rooms = TaskSpec.model_validate({"name": "rooms", "kind": "classification", "train": file, "validation": file})
    put(registry, [rooms], actor="ada", replace=False)
    again(settings, "rooms", "places")
    assert card(registry, "assistant:4")["task"]["labels"][-3:] == ["room", "hotel", "tower"]
    assert 0 <= card(registry, "assistant:4")["metrics"]["accuracy.rooms"] <= 1
    with pytest.raises(Exception, match="1 label"):
        again(settings, "rooms", name="other")


def test_held_out_rows_that_are_gone_leave_a_gap_and_that_is_said(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    moods = TaskSpec.model_validate(registry.task("moods").spec)
    test = tmp_path / "test.jsonl"
    shutil.copy(str(moods.test), test)
    put(registry, [moods.model_copy(update={"test": str(test)})], actor="ada", replace=True)
    test.unlink()
    heard = Heard()
    list(learn(spec("places"), settings, heard))
    assert "the held-out rows of task moods are not where it says, so it is not judged" in heard.lines
    assert set(card(registry, "assistant:3")["metrics"]) == {"accuracy", "accuracy.colours", "accuracy.places"}


def test_a_branch_of_another_name_begins_where_it_is_told_to(settings: Settings, registry: Registry) -> None:
    again(settings, "places", "colours", name="branch", start="assistant:1")
    assert card(registry, "branch:1")["training"]["sessions"] == ["moods", "places"]
    assert card(registry, "branch:1")["training"]["start"] == "assistant:1"
    assert card(registry, "branch:2")["training"]["start"] == "branch:1"
    assert card(registry, "branch:2")["task"]["labels"] == ["bad", "good", "hotel", "tower", "blue", "green", "red"]
    assert registry.versions("assistant")[0].number == 2


def test_a_task_that_comes_again_adds_to_what_is_known_of_its_labels(settings: Settings, registry: Registry) -> None:
    again(settings, "moods")
    third = card(registry, "assistant:3")
    assert third["task"]["labels"] == ["bad", "good", "blue", "green", "red"]
    assert third["training"]["sessions"] == ["moods", "colours", "moods"]
    counts = artifact(registry, "assistant:3").factors["counts"]
    assert counts.tolist() == [8, 8, 4, 4, 4]


@pytest.mark.parametrize("reference", ["assistant:2", "paper:2"])
def test_an_audit_says_why_sessions_are_not_learned_again(
    settings: Settings, registry: Registry, reference: str
) -> None:
    with pytest.raises(InvalidSpec, match=f"{reference} learned in sessions, by coda; no shadow can"):
        Recipe.of(registry, ready(registry, reference, settings.backbone))


def test_no_text_of_a_session_is_written_anywhere(first: Settings) -> None:
    files = [file for file in first.home.rglob("*") if file.is_file()]
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []


def test_a_batch_mixes_a_prompt_that_learned_on_with_a_plain_one(registry: Registry, tiny: Backbone) -> None:
    published(registry, tiny, "plain", soft(0.3), head=0.1)
    mixed = [
        Input(prompt="assistant:2", text=ASKED.text),
        Input(prompt="plain:1", text=ASKED.text),
        Input(prompt="assistant:1", text="a very good film"),
        Input(prompt="paper:2", text="the river was not blue in the night"),
    ]

    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            alone = [(await engine.predict([one]))[0] for one in mixed]
            together = await engine.predict(mixed)
        assert [found.version for found in together] == [found.version for found in alone]
        assert [len(numbers(found)) for found in together] == [5, 2, 2, 5]
        for found, expected in zip(together, alone, strict=True):
            assert numbers(found) == pytest.approx(numbers(expected), abs=1e-5)

    run(main())


def questions(data: Path) -> TaskSpec:
    """A task of spans."""
    rows = [{"question": "which hotel", "context": "the red hotel", "answer": "red"}]
    file = written(data / "questions.jsonl", rows)
    return TaskSpec.model_validate({"name": "questions", "kind": "span-qa", "train": file, "validation": file})


def pairs(data: Path) -> TaskSpec:
    """A task of pairs of texts."""
    labels = ("no", "yes")
    rows = [
        {"text": f"a {word} film", "text_pair": "the film", "label": label}
        for word in ("good", "red", "old")
        for label in labels
    ]
    file = written(data / "pairs.jsonl", rows)
    return TaskSpec.model_validate({"name": "pairs", "kind": "pair", "train": file, "validation": file})


@pytest.mark.parametrize(
    ("tasks", "changes", "words"),
    [
        (("places",), {"name": None}, "coda learns on under one name"),
        (("places",), {"name": "moods"}, "'moods' is a task"),
        (("places",), {"workers": 2}, "learned by one worker"),
        (("places",), {"teachers": "assistant:1,assistant:2"}, "without teachers"),
        (("places",), {"dp_epsilon": 8.0, "dp_delta": 1e-3}, "without --dp-epsilon"),
        (("places",), {"start": "assistant:1,assistant:2"}, "from one version"),
        (("places",), {"method": "joint", "hyperparameters": {}}, "joint is there to be compared with"),
        (("places",), {"method": "progressive-prompts", "hyperparameters": {}}, "it cannot serve"),
        (("places",), {"hyperparameters": {"component": 3}}, "component"),
        (("places", "questions"), {}, "'questions' is span-qa"),
        (("places", "pairs"), {}, "assistant:2 answers classification rows, and task 'pairs' has pair rows"),
        (("places", "nothing"), {}, "nothing"),
        (("pairs", "places"), {"name": "other"}, "pairs answers pair rows, and task 'places' has classification rows"),
        (("pairs",), {"name": "other", "start": "assistant:1"}, "assistant:1 answers classification rows"),
        (("places",), {"start": "assistant:1*2"}, "from one version"),
        (("places",), {"cache_activations": True}, "do nothing for it"),
        (("places",), {"gradient_checkpointing": True}, "do nothing for it"),
        (("places",), {"hyperparameters": {"random_features": -5}}, "random_features"),
        (("places",), {"hyperparameters": {"ridge": 0.0}}, "ridge"),
    ],
)
def test_what_no_session_can_have_is_refused_before_the_first_of_them(
    settings: Settings, registry: Registry, tmp_path: Path, tasks: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    put(registry, [questions(tmp_path), pairs(tmp_path)], actor="ada", replace=False)
    before = everything(registry)
    with pytest.raises(Exception, match=words) as caught:
        again(settings, *tasks, **changes)
    assert getattr(caught.value, "code", "invalid") in ("invalid", "not_found")
    assert CANARY not in str(caught.value)
    assert everything(registry) == before


def everything(registry: Registry) -> tuple[list[Version], int]:
    """All versions, and how many runs were started."""
    return [version for one in registry.prompts() for version in registry.versions(one.name)], len(registry.runs())


def test_sessions_of_pairs_answer_pairs(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    put(registry, [pairs(tmp_path)], actor="ada", replace=False)
    again(settings, "pairs", name="same")
    assert card(registry, "same:1")["task"]["kind"] == "pair"


def test_a_session_of_labels_with_too_few_rows_fails_and_publishes_nothing(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    rows = [{"text": f"{CANARY} {n}", "label": label} for n in range(2) for label in ("new", "old")]
    file = written(tmp_path / "few.jsonl", rows)
    few = TaskSpec.model_validate({"name": "few", "kind": "classification", "train": file, "validation": file})
    put(registry, [few], actor="ada", replace=False)
    with pytest.raises(Exception, match="2 of 2 labels have fewer than 3 different rows") as caught:
        again(settings, "few")
    assert CANARY not in str(caught.value)
    assert [version.number for version in registry.versions("assistant")] == [2, 1]


def test_a_prompt_that_did_not_learn_on_is_not_gone_on_from(
    settings: Settings, registry: Registry, tiny: Backbone
) -> None:
    published(registry, tiny, "plain", soft(0.3), head=0.1)
    with pytest.raises(Exception, match=r"incremental-ridge|linear"):
        again(settings, "places", name="plain")
    with pytest.raises(Exception, match="head 'sessions'"):
        again(settings, "places", name="paper", hyperparameters={"head": "incremental-ridge"})
    assert [version.number for version in registry.versions("plain")] == [1]
    assert [version.number for version in registry.versions("paper")] == [2, 1]


def test_training_rows_of_earlier_sessions_are_needed_no_longer(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    moods = TaskSpec.model_validate(registry.task("moods").spec)
    train = tmp_path / "train.jsonl"
    shutil.copy(moods.train, train)
    put(registry, [moods.model_copy(update={"train": str(train)})], actor="ada", replace=True)
    train.unlink()
    again(settings, "places")
    assert card(registry, "assistant:3")["metrics"]["accuracy.moods"] >= 0
