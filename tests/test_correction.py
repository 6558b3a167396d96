"""Corrections, from a server's memory to a version: what is learned, refused, counted and forgotten."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from methods import Artifact, Backbone, InvalidSetting, Row, encode, predict
from orchestrator.access import opened
from orchestrator.continual.card import CORRECTIONS
from orchestrator.continual.correction import correct
from orchestrator.continual.report import memory
from orchestrator.continual.sessions import learn, left_behind
from orchestrator.continual.trial import Corrected, Trial
from orchestrator.errors import InvalidSpec, Refused
from orchestrator.settings import Settings
from registry import Conflict, Move, Registry, Version
from registry.canonical import digest_of
from serve.feedback.buffer import FeedbackBuffer, Outcome
from serve.feedback.correction import Correction
from tests.methods.sessions import OPENINGS, SMALL
from tests.published import published, soft
from tests.shows import Heard
from tests.streams import CANARY, settled, spec

KNOWN = {**SMALL["coda"], "random_features": 160}  # enough for every row to be learned
NEW = [(f"{opening} night", "night") for opening in OPENINGS[:4]]  # of a label that is not known
AGAINST = [(f"{opening} bad", "red") for opening in OPENINGS[:4]]  # against what moods taught
TORN = AGAINST + [(text, "good") for text, _ in AGAINST]


class Desk:
    """What a server holds, in this process: `lease` and `settle` as `serve.client.Client` has them."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.outcomes: list[str] = []
        self.now = datetime.now(UTC)
        self.buffer = FeedbackBuffer(lambda version_id, kind: self.steps.update([kind]), clock=lambda: self.now)
        self.before_settling: Callable[[], object] = lambda: None

    def correct(self, version: Version, corrections: list[tuple[str, str]]) -> None:
        """Users say what the labels should have been."""
        for text, label in corrections:
            self.buffer.accept(Correction(version.name, version.reference, version.id, {"text": text}, label))

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> dict[str, Any]:
        lent = self.buffer.lease(prompt, limit, per_label)
        rows = [dict(held.correction.fields) | {"label": held.correction.label} for held in lent.rows] if lent else []
        return {"lease": lent and lent.id, "until": lent and f"{lent.until:%Y-%m-%dT%H:%M:%S.%fZ}", "rows": rows}

    def settle(self, lease: str, outcome: Outcome) -> int:
        self.before_settling()
        self.outcomes.append(outcome)
        return self.buffer.settle(lease, outcome)

    @property
    def held(self) -> tuple[int, int]:
        """Corrections that wait, and bytes of text in memory."""
        holdings = self.buffer.holdings()
        return holdings.waiting.total(), holdings.nbytes


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Settings:
    """A home in which `assistant` has learned moods and colours, and `paper` moods, with a head that holds no sums."""
    settings = settled(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("rows"), tiny_folder)
    list(learn(spec("moods", "colours", hyperparameters=KNOWN), settings, Heard()))
    list(learn(spec("moods", name="paper", hyperparameters={**KNOWN, "head": "sessions"}), settings, Heard()))
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


@pytest.fixture
def desk() -> Desk:
    return Desk()


def numbers(registry: Registry, name: str) -> list[int]:
    return [version.number for version in registry.versions(name)]


def corrected(
    registry: Registry, settings: Settings, desk: Desk, *, at_least: int = 1, margin: float = 0.003
) -> Corrected:
    return correct(registry, "assistant", desk, at_least, margin, settings, Heard())


def test_corrections_are_learned_and_published_and_their_texts_are_gone(
    registry: Registry, settings: Settings, desk: Desk, tiny_folder: Path
) -> None:
    desk.correct(registry.resolve("assistant:2"), NEW)
    found = corrected(registry, settings, desk)
    assert (found.version, found.before) == ("assistant:3", "assistant:2")
    assert (found.corrections, found.right_before, found.right) == (4, 0, 4)
    assert found.held_out >= found.held_out_before - 0.003
    assert (desk.outcomes, desk.held) == (["learned"], (0, 0))
    assert desk.steps == {"accepted": 4, "learned": 4}
    version = registry.resolve("assistant:3")
    assert [(one.name, one.number, one.role) for one in version.parents] == [("assistant", 2, "init")]
    assert version.message == "4 corrections"
    artifact = Artifact.from_bytes(registry.fetch(version))
    backbone = Backbone.load(str(tiny_folder))
    task = artifact.card.task
    assert task is not None
    assert task.labels == ("bad", "good", "blue", "green", "red", "night")
    rows = [encode(backbone, task, Row(text))[0] for text, _ in NEW]
    assert [int(one.argmax()) for one in predict(backbone, [(artifact, row) for row in rows])] == [5] * 4


def test_the_card_says_how_many_corrections_and_nothing_of_what_they_say(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    desk.correct(registry.resolve("assistant:2"), [(f"{text} {CANARY}", label) for text, label in NEW])
    found = corrected(registry, settings, desk, margin=1.0)
    assert found.version is not None
    card: Any = registry.resolve(found.version).card
    assert card["training"]["sessions"] == ["moods", "colours", CORRECTIONS]
    assert (card["training"]["start"], card["training"]["corrections"]) == ("assistant:2", 4)
    assert {name: kept for name, kept in card["data"].items() if name not in ("moods", "colours")} == {
        f"{CORRECTIONS} of assistant:2": {"rows": 4}
    }
    assert 0 <= card["metrics"]["accuracy"] <= 1
    blocks = [registry.resolve(f"assistant:{number}").card for number in (2, 3)]
    before, after = ([*one["training"]["blocks"]] for one in blocks)  # pyright: ignore[reportIndexIssue] - JSON
    assert before == after
    files = [file for file in settings.home.rglob("*") if file.is_file()]
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []


def test_a_session_after_corrections_keeps_them_and_the_report_leaves_them_out_of_the_matrix(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    desk.correct(registry.resolve("assistant:2"), NEW)
    corrected(registry, settings, desk)
    now = memory(registry, "assistant:3")
    card: Any = registry.resolve("assistant:3").card
    assert [one.version for one in now.sessions] == ["assistant:1", "assistant:2"]
    assert now.scores["A_N"] == pytest.approx(registry_mean(registry, "assistant:2"))
    assert now.after_corrections == {name: card["metrics"][f"accuracy.{name}"] for name in ("moods", "colours")}
    (report,) = learn(spec("places", hyperparameters=KNOWN), settings, Heard())
    assert report.rows[0].reference == "assistant:4"
    last: Any = registry.resolve("assistant:4").card
    assert last["training"]["sessions"] == ["moods", "colours", CORRECTIONS, "places"]
    assert last["task"]["labels"] == ["bad", "good", "blue", "green", "red", "night", "hotel", "tower"]
    later = memory(registry, "assistant:4")
    assert [one.version for one in later.sessions] == ["assistant:1", "assistant:2", "assistant:4"]
    assert later.after_corrections == {}


def registry_mean(registry: Registry, reference: str) -> float:
    """The mean over the two sessions that a card says."""
    card: Any = registry.resolve(reference).card
    return (card["metrics"]["accuracy.moods"] + card["metrics"]["accuracy.colours"]) / 2


@pytest.mark.parametrize(
    ("rows", "margin", "words"),
    [
        (TORN, 1.0, "4 of 8 corrections are right, not 90%; nothing is published"),
        (AGAINST, 0.003, r"all sessions: right answers fall from \d+ to \d+ of 15, which is more than 0\.003 of them"),
    ],
    ids=["contradiction", "fall"],
)
def test_what_the_gate_refuses_is_not_published_and_waits_on(
    registry: Registry, settings: Settings, desk: Desk, rows: list[tuple[str, str]], margin: float, words: str
) -> None:
    desk.correct(registry.resolve("assistant:2"), rows)
    waiting = desk.held
    with pytest.raises(Refused, match=words) as caught:
        corrected(registry, settings, desk, margin=margin)
    assert caught.value.hint
    assert (desk.outcomes, desk.held) == (["returned"], waiting)
    assert numbers(registry, "assistant") == [2, 1]


def test_a_fall_within_the_margin_is_allowed(registry: Registry, settings: Settings, desk: Desk) -> None:
    desk.correct(registry.resolve("assistant:2"), AGAINST)
    found = corrected(registry, settings, desk, margin=0.5)
    assert found.version == "assistant:3"
    assert 0.003 < found.held_out_before - found.held_out <= 0.5


def test_fewer_than_asked_for_are_left_to_wait(registry: Registry, settings: Settings, desk: Desk) -> None:
    nothing = corrected(registry, settings, desk)
    assert (nothing.version, nothing.corrections, desk.outcomes) == (None, 0, [])
    desk.correct(registry.resolve("assistant:2"), NEW)
    waiting = desk.held
    few = corrected(registry, settings, desk, at_least=5)
    assert (few.version, few.corrections) == (None, 4)
    assert (desk.outcomes, desk.held) == (["returned"], waiting)
    assert numbers(registry, "assistant") == [2, 1]


def test_a_label_that_fewer_than_three_corrections_name_waits_on(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    version = registry.resolve("assistant:2")
    rare = [("a phone", "phone"), ("the phone", "phone")]
    desk.correct(version, rare)
    assert corrected(registry, settings, desk).corrections == 0
    desk.correct(version, NEW)
    assert corrected(registry, settings, desk).corrections == 4
    assert desk.held == (2, sum(len(text) + len(label) for text, label in rare))
    desk.correct(version, [("one phone", "phone")])
    assert corrected(registry, settings, desk, margin=1.0).corrections == 3
    assert desk.held == (0, 0)


def test_the_version_in_production_is_corrected_and_without_one_the_newest(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    registry.promote([Move("assistant:1")], actor="ada")
    desk.correct(registry.resolve("assistant:1"), NEW)
    heard = Heard()
    found = correct(registry, "assistant", desk, 1, 1.0, settings, heard)
    assert (found.version, found.before) == ("assistant:3", "assistant:1")
    assert "assistant:1 does not know colours, which assistant:2 does; it stays behind" in heard.lines
    card: Any = registry.resolve("assistant:3").card
    assert card["training"]["sessions"] == ["moods", CORRECTIONS]
    assert registry.resolve("assistant").number == 1, "nothing is promoted"
    with pytest.raises(Conflict, match="assistant:3 does not know colours, which assistant:2 does") as caught:
        list(learn(spec("places", hyperparameters=KNOWN), settings, Heard()))
    assert caught.value.hint == "say which one to go on from: --from assistant:3 or --from assistant:2"
    assert numbers(registry, "assistant") == [3, 2, 1]


def test_corrections_that_follow_each_other_leave_none_behind_but_those_that_were_taken_back(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    registry.promote([Move("assistant:2")], actor="ada")
    version = registry.resolve("assistant:2")
    desk.correct(version, NEW)
    assert corrected(registry, settings, desk).before == "assistant:2"
    desk.correct(version, [(f"{opening} morning", "morning") for opening in OPENINGS[:4]])
    second = corrected(registry, settings, desk, margin=1.0)
    assert (second.before, second.version) == ("assistant:3", "assistant:4")
    card: Any = registry.resolve("assistant:4").card
    assert {"night", "morning"} <= set(card["task"]["labels"])
    assert left_behind(registry, registry.resolve("assistant:4")) == {}
    for number in (3, 4, 2):
        registry.promote([Move(f"assistant:{number}")], actor="ada")
    desk.correct(version, [(f"{opening} noon", "noon") for opening in OPENINGS[:4]])
    third = corrected(registry, settings, desk, margin=1.0)
    assert (third.before, third.version) == ("assistant:2", "assistant:5")
    lost = left_behind(registry, registry.resolve("assistant:5"))
    assert lost["assistant:3"] == [f"{CORRECTIONS} of assistant:3"]
    with pytest.raises(Conflict, match="they grew apart"):
        list(learn(spec("places", hyperparameters=KNOWN), settings, Heard()))


def test_prompts_that_do_not_learn_on_are_refused(
    registry: Registry, settings: Settings, desk: Desk, tiny_folder: Path
) -> None:
    plain = published(registry, Backbone.load(str(tiny_folder)), "plain", soft(0.3), head=0.1)
    for version in (plain, registry.resolve("paper:1")):
        desk.correct(version, NEW)
    with pytest.raises(InvalidSpec, match="plain:1 is of prompt-tuning, which does not learn on") as caught:
        correct(registry, "plain", desk, 1, 0.003, settings, Heard())
    assert "--method coda" in caught.value.hint
    assert desk.outcomes == []
    with pytest.raises(InvalidSetting, match="they need an incremental ridge"):
        correct(registry, "paper", desk, 1, 0.003, settings, Heard())
    assert desk.outcomes == ["returned"]
    with pytest.raises(InvalidSpec, match="'nobody' has no version to correct"):
        correct(registry, "nobody", desk, 1, 0.003, settings, Heard())
    assert desk.buffer.holdings().waiting == {"plain": 4, "paper": 4}


def test_without_a_task_of_the_prompts_nothing_is_learned(
    registry: Registry, settings: Settings, desk: Desk, tmp_path: Path
) -> None:
    """A version that came from elsewhere: its tasks' held-out rows did not come along."""
    version = registry.resolve("assistant:2")
    blob = registry.fetch(version)
    with opened(Settings(home=tmp_path, backbone=settings.backbone, actor="ada")) as elsewhere:
        brought = elsewhere.publish("assistant", blob, version.card, idempotency_key=digest_of(blob), actor="ada")
        desk.correct(brought, NEW)
        with pytest.raises(Refused, match="no held-out row of an earlier session is here"):
            corrected(elsewhere, settings, desk)
        assert numbers(elsewhere, "assistant") == [1]
    assert desk.outcomes == ["returned"]


def test_a_lease_is_published_once(registry: Registry, settings: Settings) -> None:
    rows = [{"text": text, "label": label} for text, label in NEW]
    trial = Trial(registry, registry.resolve("assistant:2"), 2, rows, settings, Heard())
    found, learned = trial.run()
    assert [trial.publish(learned, found, "one") for _ in range(2)] == ["assistant:3"] * 2
    with pytest.raises(Conflict, match="assistant:3 was published since"):
        trial.publish(learned, found, "two")


def test_corrections_of_every_label_are_gated_too(registry: Registry, settings: Settings, desk: Desk) -> None:
    list(learn(spec("moods", name="mood", hyperparameters=KNOWN), settings, Heard()))
    swapped = [
        (f"{opening} {label}", other) for opening in OPENINGS for label, other in (("good", "bad"), ("bad", "good"))
    ]
    desk.correct(registry.resolve("mood:1"), swapped)
    with pytest.raises(Refused, match="nothing is published"):
        correct(registry, "mood", desk, 1, 0.003, settings, Heard())
    assert numbers(registry, "mood") == [1]


def test_a_single_version_has_no_corrections_of_its_own(registry: Registry, settings: Settings, desk: Desk) -> None:
    with pytest.raises(InvalidSpec, match="wait for a prompt, not for one version of it: assistant:1") as caught:
        correct(registry, "assistant:1", desk, 1, 0.003, settings, Heard())
    assert caught.value.hint == "promptctl correct assistant"
    assert desk.outcomes == []


def test_what_another_version_overtook_is_not_published_and_waits_on(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    class Overtaking(Heard):
        """A colleague publishes while the corrections are tried."""

        def say(self, text: str) -> None:
            if "of the corrections are right" in text and numbers(registry, "assistant") == [2, 1]:
                registry.publish("assistant", b"another", {}, idempotency_key="another", actor="bob")

    desk.correct(registry.resolve("assistant:2"), NEW)
    waiting = desk.held
    with pytest.raises(Conflict, match="assistant:3 was published since this version was begun from assistant:2"):
        correct(registry, "assistant", desk, 1, 1.0, settings, Overtaking())
    assert numbers(registry, "assistant") == [3, 2, 1]
    assert (desk.outcomes, desk.held) == (["returned"], waiting)


def test_corrections_whose_server_was_not_told_are_not_learned_twice(
    registry: Registry, settings: Settings, desk: Desk
) -> None:
    desk.correct(registry.resolve("assistant:2"), NEW)

    def half_an_hour() -> None:
        desk.now += timedelta(minutes=31)

    desk.before_settling = half_an_hour
    assert corrected(registry, settings, desk).version == "assistant:3"
    assert desk.held[0] == 4, "the server never heard of it"
    desk.before_settling = lambda: None
    desk.correct(
        registry.resolve("assistant:3"), [("a phone", "phone"), ("the phone", "phone"), ("one phone", "phone")]
    )
    again = corrected(registry, settings, desk)
    assert (again.version, again.corrections) == ("assistant:3", 4)
    assert numbers(registry, "assistant") == [3, 2, 1]
    assert (desk.steps["learned"], desk.held[0]) == (4, 3)


def test_a_loan_that_ran_out_is_not_published(registry: Registry, settings: Settings, desk: Desk) -> None:
    desk.now -= timedelta(minutes=31)
    desk.correct(registry.resolve("assistant:2"), NEW)
    with pytest.raises(Conflict, match="ran out; nothing is published"):
        corrected(registry, settings, desk)
    assert (numbers(registry, "assistant"), desk.outcomes) == ([2, 1], [])
