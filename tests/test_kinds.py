"""Tasks of the newer kinds, from files to answers: trained in this process, published, promoted, served."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from methods import Artifact, Backbone, Chosen, Generated, Tagged
from orchestrator import runs
from orchestrator.access import opened
from orchestrator.errors import RunFailed
from orchestrator.publishing import RunReport
from orchestrator.settings import Settings
from orchestrator.specs import RunSpec, TaskSpec
from orchestrator.tasks import put
from registry import Move
from serve.schemas import Input
from tests.backbones import tiny
from tests.serve.engines import engine_of, run
from tests.shows import Heard

THINGS = ("film", "book", "hotel", "train", "phone", "bridge")
NAMES = [{"tokens": ["the", "old", thing], "tags": "O O B-thing"} for thing in THINGS] + [
    {"tokens": f"{thing} was sold", "tags": ["B-thing", "O", "O"]} for thing in THINGS
]
QUIZ = [{"text": f"the {thing} was", "choices": ["red", "very good"], "label": turn % 2} for turn, thing in
        enumerate(THINGS)]  # fmt: skip
MOOD = [{"text": f"a {word} {thing}", "label": label} for thing in THINGS for word, label in
        (("great", "up"), ("awful", "down"))]  # fmt: skip
STORY = [{"text": f"the {thing}", "target": f"a new {thing}"} for thing in THINGS]
ROWS: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]] = {
    "names": ("tagging", NAMES),
    "quiz": ("multiple-choice", QUIZ),
    "mood": ("classification", MOOD),
    "story": ("generation", STORY),
}
WORDING = {"template": "{text} {prompt:3} it was {mask}", "verbalizer": {"up": ["good", "great"], "down": ["bad"]}}


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a task of each kind in `ROWS`, and `worded`, which is mood in words, on the tiny BERT."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    settings = Settings()
    specs = []
    for name, (kind, rows) in ROWS.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        specs.append({"name": name, "kind": kind, "train": str(file), "validation": str(file)})
    specs.append(specs[2] | {"name": "worded", "text_prompt": WORDING})
    with opened(settings) as registry:
        put(registry, [TaskSpec.model_validate(one) for one in specs], actor="me", replace=False)
    return settings


def train(settings: Settings, *tasks: str, heard: Heard | None = None, **changes: object) -> RunReport:
    given = {"tasks": tasks, "workers": 0, "epochs": 1, "batch_size": 4, "hyperparameters": {"length": 3}}
    return runs.train(RunSpec.model_validate(given | changes), settings, heard or Heard())


def answers(settings: Settings, backbone: Backbone, inputs: Sequence[Input]) -> list[Any]:
    """What the newest versions answer once they are in production."""
    found = []

    async def ask() -> None:
        with opened(settings) as registry:
            registry.promote([Move(f"{prompt.name}:{prompt.latest}") for prompt in registry.prompts()
                              if prompt.kind == "task"], actor="me")  # fmt: skip
            async with engine_of(backbone, registry) as engine:
                found.extend(one.answer for one in await engine.predict(inputs))

    run(ask())
    return found


def test_words_and_choices_are_trained_published_and_served(settings: Settings, tiny_folder: Path) -> None:
    names, quiz = train(settings, "names", "quiz", epochs=12).rows
    factors = 3 + 3 * 2 * 40  # u [3, 1], v [1, 240]
    assert (names.metric, names.parameters) == ("f1", factors + 2 * 40 + 2)
    assert (quiz.metric, quiz.parameters) == ("accuracy", factors + 40 + 1)
    assert names.value == 1  # the rows judged are those trained on
    inputs = [
        Input(prompt="names", tokens=("the", "old", "hotel")),
        Input(prompt="quiz", text="the hotel was", choices=("red", "very good", "blue")),
    ]
    tagged, chosen = answers(settings, Backbone.load(str(tiny_folder)), inputs)
    assert isinstance(tagged, Tagged)
    assert tagged.tags == ("O", "O", "B-thing")
    assert isinstance(chosen, Chosen)
    assert len(chosen.scores) == 3


def test_a_task_in_words_trains_its_prompt_alone_and_is_served(settings: Settings, tmp_path: Path) -> None:
    folder = tiny("bert", tmp_path / "bert")
    heard = Heard()
    (worded,) = train(settings, "worded", heard=heard, method="p-tuning", epochs=2, backbone=str(folder)).rows
    phases = {event["phase"] for event in heard.events if "step" in event}
    assert phases == {"p-tuning"}  # the control has nothing to train: it is the words without a prompt
    with opened(settings) as registry:
        artifact = Artifact.from_bytes(registry.fetch(registry.resolve(worded.reference)))
    assert artifact.card.task is not None
    assert artifact.card.task.text_prompt is not None
    assert artifact.card.task.text_prompt.verbalizer == (("bad",), ("good", "great"))  # down before up
    assert worded.bytes == 3 * 40 * 4
    (answer,) = answers(settings, Backbone.load(str(folder)), [Input(prompt="worded", text="a great film")])
    assert answer.scores.keys() == {"up", "down"}


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_generation_is_trained_beside_another_kind_and_served(settings: Settings, tmp_path: Path, family: str) -> None:
    folder = tiny(family, tmp_path / family)
    story, mood = train(settings, "story", "mood", method="prefix-tuning", epochs=2, backbone=str(folder)).rows
    assert (story.metric, mood.metric) == ("f1", "accuracy")
    (answer,) = answers(settings, Backbone.load(str(folder)), [Input(prompt="story", text="the film")])
    assert isinstance(answer, Generated)


def test_a_task_that_the_backbone_cannot_answer_fails_with_the_reason(settings: Settings) -> None:
    heard = Heard()
    with pytest.raises(RunFailed, match="is an encoder and generates no text") as raised:
        train(settings, "story", "mood", heard=heard)
    assert "--backbone" in raised.value.hint
    assert heard.events == []
    with opened(settings) as registry:
        assert (registry.runs()[0].status, registry.prompts()) == ("FAILED", [])
