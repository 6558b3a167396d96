"""A prompt in words from its file to an answer: created, promoted, served beside a trained one, rendered, judged."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from methods import Artifact, Backbone, Card, Classified, Generated, LinearHead, SoftPrompt, Task
from registry import Registry
from serve.schemas import Input
from tests.backbones import tiny
from tests.letters import letter_gpt2
from tests.serve import engines

Run = Callable[..., Result]

MOOD = """
name = "mood"
kind = "classification"
templates = ["{text} it was {mask}", "the {text} was very {mask}"]
weights = [2, 1]
[verbalizer]
negative = ["bad", "awful"]
positive = ["good"]
"""
MOODS = """
name = "moods"
kind = "classification"
templates = ["{text} it was {mask}", "{mask} and the {text}"]
weights = [2, 1]
[verbalizer]
negative = ["loud"]
positive = ["warm"]
"""
STORY = """
name = "story"
kind = "generation"
template = "what {text}"
limit = 6
"""
SUMS = """
name = "sums"
kind = "generation"
template = "Q: {text}\\nA:"
reasoning = "zero-shot"
extract = "text"
reasoning_limit = 7
limit = 4
"""
SHOWN = """
[[demonstrations]]
text = "the phone"
label = "negative"
"""
ROWS = {"film": "negative", "book": "positive", "old train": "positive", "city": "positive", "red": "negative"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tiny(name, tmp_path_factory.mktemp(name), positions=128) for name in ("bert", "gpt2", "t5")}
    return found | {"letters": letter_gpt2(tmp_path_factory.mktemp("letters"))}


@pytest.fixture
def create(run: Run, folders: dict[str, Path], tmp_path: Path) -> Callable[..., Result]:
    """Write a file and create its prompt."""

    def create(text: str, *options: str, backbone: str = "bert") -> Result:
        (tmp_path / "prompt.toml").write_text(text)
        return run("prompt", "create", str(tmp_path / "prompt.toml"), "--backbone", str(folders[backbone]), *options)

    return create


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        yield opened


@pytest.fixture
def reviews(run: Run) -> None:
    """A task of five rows whose labels only its rows tell."""
    Path("rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS.items())
    )
    added = run("task", "add", "reviews", "--train", "rows.jsonl", "--validation", "rows.jsonl")
    assert added.exit_code == 0, added.stderr


def judged(run: Run, *arguments: str) -> list[dict[str, Any]]:
    result = run("prompt", "evaluate", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["patterns"]


def test_the_same_words_are_the_same_version(create: Run, registry: Registry) -> None:
    assert create(MOOD).stdout == "mood\tcreated\tmood:1\n"
    assert create(MOOD + "# a remark\n").stdout == "mood\tunchanged\tmood:1\n"
    assert create(MOOD + SHOWN).stdout == "mood\tcreated\tmood:2\n"
    assert create(MOOD).stdout == "mood\tcreated\tmood:3\n"  # an older version's words may come back
    first, second, third = (registry.resolve(f"mood:{number}") for number in (1, 2, 3))
    assert first.digest == third.digest != second.digest
    assert second.card["method"] == "text"


def test_a_dry_run_writes_nothing(create: Run, home: Path) -> None:
    planned = create(MOOD, "--dry-run", "-o", "json")
    assert list(home.iterdir()) == []
    (plan,) = json.loads(planned.stdout)["prompts"]
    assert (plan["action"], plan["version"]) == ("created", None)
    assert json.loads(create(MOOD, "-o", "json").stdout)["prompts"][0]["digest"] == plan["digest"]
    assert create(MOOD, "--dry-run").stdout == "mood\tunchanged\tmood:1\n"


def test_a_task_by_name_gives_its_kind_and_its_labels(create: Run, reviews: None, registry: Registry) -> None:
    lines = MOOD.replace('kind = "classification"', 'task = "reviews"').splitlines()
    assert create("\n".join([*lines[:-2], lines[-1], lines[-2]])).exit_code == 0  # positive before negative
    card = registry.resolve("mood:1").card
    assert isinstance(card["task"], dict)
    assert (card["name"], card["task"]["name"], card["task"]["labels"]) == ("mood", "reviews", ["negative", "positive"])
    assert card["task"]["text_prompt"]["verbalizer"] == [["bad", "awful"], ["good"]]


BROKEN = [
    (MOOD.replace("kind =", "knd ="), "knd: Extra inputs are not permitted"),
    (MOOD.replace('kind = "classification"', 'kind = "tagging"'), r"task 'mood' \(tagging\) has no text prompt"),
    (MOOD.replace('kind = "classification"', ""), "task or kind, one of them"),
    (MOOD.replace('kind = "classification"', 'task = "reviewz"'), "unknown task 'reviewz'"),
    (MOOD.replace('"mood"', '"Mood"'), "name: a name is 1 to 63"),
    (MOOD.replace("templates = [", "template = 'a'\ntemplates = ["), "template or templates, not both"),
    (MOOD.replace("the {text}", "the {txt}"), r"templates.1: the template has the unknown slot \{txt\}"),
    (MOOD.replace("weights = [2, 1]", "weights = [2]"), "weights: give each of the 2 templates one"),
    (MOOD.replace("weights = [2, 1]", "weights = [2, -1]"), "weights.1: Input should be greater than 0"),
    (MOOD.replace("weights = [2, 1]", "trigger = 'x'"), "trigger: only with reasoning"),
    (MOOD.replace('"good"', '"goodish"'), "verbalizer: .*'goodish' is not one token"),
    (
        MOOD.replace("weights = [2, 1]", 'labels = ["negative", "fine"]'),
        "the verbalizer has no words for 1 of 2 labels",
    ),
    (MOOD + SHOWN.replace('"negative"', '"dull"'), "demonstrations.0.label: 'dull' is not one of"),
    (MOOD + SHOWN + 'target = "x"', "demonstrations.0: label or target, one of them"),
    (MOOD + SHOWN + 'rationale = "x"', "demonstrations.0.rationale: only few-shot"),
    (STORY, "the encoder .* cannot"),
    ("name = ", "is not TOML"),
]


@pytest.mark.parametrize(("text", "words"), BROKEN)
def test_a_broken_file_is_named_with_its_field(create: Run, registry: Registry, text: str, words: str) -> None:
    result = create(text)
    assert result.exit_code in (2, 3)
    assert re.search(words, result.stderr), result.stderr
    assert ("prompt.toml" in result.stderr) == ("unknown task" not in result.stderr)
    assert registry.prompts() == []


def test_a_file_that_is_not_there_is_not_found(run: Run) -> None:
    assert run("prompt", "create", "gone.toml").exit_code == 3


def test_the_default_backbone_has_no_words_to_say(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mood.toml").write_text(MOOD)
    refused = run("prompt", "create", str(tmp_path / "mood.toml"))
    assert refused.exit_code == 2
    assert "all-MiniLM-L6-v2 has no language-model head" in refused.stderr
    assert "--backbone NAME|FOLDER" in refused.stderr


def test_rendering_prints_what_each_pattern_reads(create: Run, run: Run) -> None:
    create(MOOD + SHOWN)
    shown = run("prompt", "render", "mood:1", "--text", "The film")
    assert shown.stdout.splitlines() == [
        "[CLS] the phone it was bad the film it was [MASK] [SEP]",
        "[CLS] the the phone was very bad the the film was very [MASK] [SEP]",
    ]
    assert shown.stderr.splitlines() == ["1: {text} it was {mask}", "2: the {text} was very {mask}"]
    assert run("prompt", "render", "mood:1", "--text", "-", stdin="The film\n").stdout == shown.stdout
    first = json.loads(run("prompt", "render", "mood:1", "--text", "The film", "-o", "json").stdout)["readings"][0]
    assert (first["pattern"], first["reads"]) == (1, shown.stdout.splitlines()[0])


def test_rendering_says_what_a_model_that_thinks_is_asked_next(create: Run, run: Run) -> None:
    create(SUMS, backbone="letters")
    shown = run("prompt", "render", "sums:1", "--text", "1 + 1?\x1b[2J")
    assert shown.stdout == "Q: 1 + 1?\\x1b[2J\nA: Let's think step by step.\n"
    assert shown.stderr == "then, behind what it says: '\\nTherefore, the answer is'\n"


def test_an_empty_text_is_refused(create: Run, run: Run) -> None:
    create(MOOD)
    refused = run("prompt", "render", "mood:1", "--text", "-", stdin="\n")
    assert (refused.exit_code, "empty text" in refused.stderr) == (2, True)


def test_each_pattern_is_judged_by_itself_and_the_spread_over_them(create: Run, run: Run, reviews: None) -> None:
    """Two patterns, right on 3 and 2 of 5 rows: mean 0.5, spread sqrt(2 * 0.1^2 / 1) = 0.1414."""
    create(MOODS)
    whole, first, second, middle, spread = judged(run, "moods:1", "--task", "reviews")
    assert [one["pattern"] for one in (whole, first, second, middle, spread)] == ["all", "1", "2", "mean", "spread"]
    assert {one["rows"] for one in (whole, first, second, middle, spread)} == {5}
    assert (first["template"], second["template"]) == ("{text} it was {mask}", "{mask} and the {text}")
    accuracies = [one["accuracy"] for one in (whole, first, second, middle)]
    assert accuracies == pytest.approx([0.6, 0.6, 0.4, 0.5])
    assert spread["accuracy"] == pytest.approx(0.02**0.5)


def published(registry: Registry, backbone: Backbone, name: str, task: Task) -> Artifact:
    """A trained version of random numbers."""
    generator = torch.Generator().manual_seed(3)
    size = backbone.hidden_size
    head = LinearHead(torch.randn(2, size, generator=generator), torch.zeros(2), backbone.pooling)
    form = SoftPrompt(torch.randn(4, backbone.embedding_size, generator=generator))
    artifact = Artifact(Card(name, task, "prompt-tuning", {}, backbone.fingerprint), form, head)
    registry.publish(name, artifact.to_bytes(), artifact.card.to_json(), idempotency_key=name, actor="ada")
    return artifact


def test_any_version_is_judged_on_the_rows_of_its_own_kind_and_labels(
    run: Run, reviews: None, registry: Registry, folders: dict[str, Path]
) -> None:
    backbone = Backbone.load(str(folders["bert"]))
    published(registry, backbone, "trained", Task("reviews", "classification", ("negative", "positive")))
    (own,) = judged(run, "trained:1")
    assert judged(run, "trained:1", "--split", "validation") == [own]
    assert own["accuracy"] in {n / 5 for n in range(6)}
    published(registry, backbone, "other", Task("other", "pair", ("no", "yes")))
    refused = run("prompt", "evaluate", "other:1", "--task", "reviews")
    assert (refused.exit_code, "reviews' is classification; other:1 answers pair rows" in refused.stderr) == (2, True)
    refused = run("prompt", "evaluate", "trained:1", "--split", "test")
    assert (refused.exit_code, "has no test file" in refused.stderr) == (2, True)
    assert run("prompt", "evaluate", "other:1").exit_code == 3


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_words_are_promoted_and_answer_beside_a_trained_version(
    create: Run, run: Run, registry: Registry, folders: dict[str, Path], name: str
) -> None:
    backbone = Backbone.load(str(folders[name]))
    published(registry, backbone, "trained", Task("topic", "classification", ("city", "film")))
    files = [MOOD + SHOWN] if name == "bert" else [MOOD + SHOWN, STORY, SUMS]
    assert [create(text, backbone=name).exit_code for text in files] == [0] * len(files)
    prompts = [prompt.name for prompt in registry.prompts()]
    assert len(prompts) == len(files) + 1
    assert run("promote", *(f"{prompt}:1" for prompt in prompts)).exit_code == 0

    async def main() -> None:
        async with engines.engine_of(backbone, registry) as engine:
            assert engine.follower.snapshot.refused == ()
            inputs = [Input(prompt=one, text=text) for one in prompts for text in ("the film", "a slow red train")]
            alone = [(await engine.predict([one]))[0] for one in inputs]
            together = await engine.predict(inputs)
        for one, found, given in zip(alone, together, inputs, strict=True):
            assert found.version.reference == f"{given.prompt}:1"
            np.testing.assert_allclose(engines.numbers(found), engines.numbers(one), atol=1e-5)
            expected = Generated if given.prompt in ("story", "sums") else Classified
            assert isinstance(found.answer, expected)
        moods = [one.answer for one, given in zip(alone, inputs, strict=True) if given.prompt == "mood"]
        assert moods[0] != moods[1]

    engines.run(main())
