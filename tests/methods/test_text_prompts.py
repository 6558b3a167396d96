"""Words as versions: verbalizers, patterns that vote, reasoning in two steps, and what is refused."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from methods import (
    Artifact,
    Backbone,
    Classified,
    CorruptArtifact,
    Example,
    Generated,
    InvalidSetting,
    Row,
    SoftPrompt,
    Task,
    TextPrompt,
    answer,
    encode,
    predict,
)
from methods.heads import GenerationHead
from methods.heads.reasoning import ReasoningHead
from methods.rows.text_prompt import Demonstration, Reasoning
from methods.words.artifact import worded
from methods.words.patterns import alone, voted
from methods.words.reasoning import extracted, reasoned
from methods.words.rendering import rendered
from tests.backbones import tiny
from tests.letters import letter_gpt2

LABELS = ("negative", "positive")
WORDS = (("bad", "awful"), ("good", "great", "bright"))
MOOD = Task("mood", "classification", LABELS, TextPrompt(("{text} it was {mask}",), WORDS))
THINK = Reasoning("zero-shot", "Therefore, the answer is", "Let's think step by step.", "number", limit=9)
SUMS = Task("sums", "generation", text_prompt=TextPrompt(("Q: {text}\nA:",), reasoning=THINK, limit=5))
TEXTS = ["the film", "a very slow train to the north and the south", "red"]


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    names = ("bert", "gpt2", "t5")
    found = {name: Backbone.load(str(tiny(name, tmp_path_factory.mktemp(name), positions=128))) for name in names}
    return found | {"letters": Backbone.load(str(letter_gpt2(tmp_path_factory.mktemp("letters"))))}


def outputs(backbone: Backbone, artifact: Artifact, row: Row) -> list[np.ndarray]:
    assert artifact.card.task is not None
    return predict(backbone, [(artifact, example) for example in encode(backbone, artifact.card.task, row)])


def answered(backbone: Backbone, artifact: Artifact, text: str) -> Classified | Generated:
    assert artifact.card.task is not None
    row = Row(text)
    found = answer(backbone, artifact, row, encode(backbone, artifact.card.task, row), outputs(backbone, artifact, row))
    assert isinstance(found, Classified | Generated)
    return found


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_verbalizer_is_a_linear_head_folded_out_of_the_language_models(
    backbones: dict[str, Backbone], name: str
) -> None:
    """A mean of logits w_i h + b_i is one row: the mean of the w_i, and the mean of the b_i."""
    backbone = backbones[name]
    artifact = worded(backbone, "mood", MOOD)
    lm = backbone.language_model()
    rows = [backbone.tokenizer.convert_tokens_to_ids(list(words)) for words in WORDS]
    table: Any = lm.get_output_embeddings()
    weight = torch.stack([table.weight[ids].mean(0) for ids in rows])
    bias = torch.stack([table.bias[ids].mean() for ids in rows]) if table.bias is not None else None
    for text in TEXTS:
        (example,) = encode(backbone, MOOD, Row(text))
        ids = torch.tensor([example.input_ids])
        with torch.no_grad():
            states = backbone.model(input_ids=ids).last_hidden_state[0, example.masked]
            if name == "bert":
                states = lm.get_submodule("cls.predictions.transform")(states)
            expected = functional.linear(states, weight, bias)
        (found,) = outputs(backbone, artifact, Row(text))
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_an_encoder_decoder_is_read_at_the_first_token_that_it_would_say(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["t5"]
    (example,) = encode(backbone, MOOD, Row(TEXTS[0]))
    assert backbone.tokenizer.decode(example.input_ids) == "the film it was </s>"
    with torch.no_grad():
        logits = backbone.language_model()(
            input_ids=torch.tensor([example.input_ids]), decoder_input_ids=torch.tensor([[0]])
        ).logits[0, 0]
    expected = [logits[backbone.tokenizer.convert_tokens_to_ids(list(words))].mean() for words in WORDS]
    (found,) = outputs(backbone, worded(backbone, "mood", MOOD), Row(TEXTS[0]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_weighted_vote_by_hand() -> None:
    """Weights 3 and 1 of logits (0, 4) and (8, 0): ((3 * 0 + 8) / 4, (3 * 4 + 0) / 4) = (2, 3); unweighted (4, 2)."""
    both = [np.array([0.0, 4.0], np.float32), np.array([8.0, 0.0], np.float32)]
    assert voted(TextPrompt(("a", "b"), weights=(3.0, 1.0)), both).tolist() == [2.0, 3.0]
    assert voted(TextPrompt(("a", "b")), both).tolist() == [4.0, 2.0]
    assert voted(None, both[:1]).tolist() == [0.0, 4.0]


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(-30, 30, width=32)), min_size=2, max_size=6), st.randoms())
def test_no_order_of_patterns_changes_a_bit_of_the_vote(patterns: list[tuple[float, float]], draw: Random) -> None:
    def vote(order: list[tuple[float, float]]) -> float:
        weights = tuple(weight for weight, _ in order)
        logits = [np.array([logit], np.float32) for _, logit in order]
        return float(voted(TextPrompt(("a",) * len(order), weights=weights), logits)[0])

    assert vote(patterns) == vote(draw.sample(patterns, len(patterns)))


def test_the_order_of_patterns_changes_no_bit_of_the_answer(backbones: dict[str, Backbone]) -> None:
    patterns = {"{text} it was {mask}": 2.0, "{mask} and {text}": 0.3, "the {mask} film {text}": 0.7}
    found = set()
    for order in itertools.permutations(patterns):
        prompt = TextPrompt(order, WORDS, tuple(patterns[template] for template in order))
        artifact = worded(backbones["bert"], "mood", replace(MOOD, text_prompt=prompt))
        one = answered(backbones["bert"], artifact, TEXTS[1])
        assert isinstance(one, Classified)
        found.add(tuple(one.scores.values()))
    assert len(found) == 1
    unweighted = replace(MOOD, text_prompt=TextPrompt(tuple(patterns), WORDS))
    other = answered(backbones["bert"], worded(backbones["bert"], "mood", unweighted), TEXTS[1])
    assert isinstance(other, Classified)
    assert tuple(other.scores.values()) not in found


def test_a_pattern_alone_answers_as_if_it_were_the_only_one(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["bert"]
    templates = ("{text} it was {mask}", "{mask} and {text}")
    both = worded(backbone, "mood", replace(MOOD, text_prompt=TextPrompt(templates, WORDS, (1.0, 5.0))))
    for place, template in enumerate(templates):
        only = worded(backbone, "mood", replace(MOOD, text_prompt=TextPrompt((template,), WORDS)))
        assert answered(backbone, alone(both, place), TEXTS[0]) == answered(backbone, only, TEXTS[0])


class Stub:
    """Stands where a language model generates: says what it is told, and keeps what it was asked."""

    def __init__(self, backbone: Backbone, *sayings: str) -> None:
        self._backbone, self._sayings = backbone, list(sayings)
        self.asked: list[tuple[list[str], int]] = []

    def __call__(self, places: Sequence[int], examples: Sequence[Example], limit: int) -> list[list[int]]:
        self.asked.append(([self._backbone.tokenizer.decode(one.input_ids) for one in examples], limit))
        return [self._backbone.tokenizer(self._sayings.pop(0))["input_ids"] for _ in places]


def test_zero_shot_reasoning_asks_exactly_twice_and_in_these_words(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["letters"]
    prompt = TextPrompt(("Q: {text}\nA:",), reasoning=replace(THINK, limit=128))
    head = worded(backbone, "sums", replace(SUMS, text_prompt=prompt)).head
    assert isinstance(head, ReasoningHead)
    stub = Stub(backbone, " 16 / 2 = 8, and 8 / 2 = 4.", " 4 golf balls, not 8.")
    (ids,) = reasoned(backbone, [head], encode(backbone, SUMS, Row("How many of 16 balls?")), stub)
    first = "Q: How many of 16 balls?\nA: Let's think step by step."
    assert stub.asked == [
        ([first], 128),
        ([f"{first} 16 / 2 = 8, and 8 / 2 = 4.\nTherefore, the answer is"], 32),
    ]
    assert extracted(SUMS, backbone.tokenizer.decode(ids)) == "4"


def test_rows_are_asked_with_those_of_their_own_limit_and_only_thinkers_twice(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["letters"]
    plain = Task("plain", "generation", text_prompt=TextPrompt(("{text}",)))
    rows = [encode(backbone, task, Row(text))[0] for task, text in ((plain, "a"), (SUMS, "b"), (plain, "c"))]
    thinker = worded(backbone, "sums", SUMS).head
    assert isinstance(thinker, ReasoningHead)
    stub = Stub(backbone, " b thinks.", " from a", " from c", " 7")
    said = reasoned(backbone, [GenerationHead(), thinker, GenerationHead()], rows, stub)
    assert [backbone.tokenizer.decode(ids) for ids in said] == [" from a", " 7", " from c"]
    assert [limit for _, limit in stub.asked] == [9, 32, 5]
    assert stub.asked[1][0] == ["a", "c"]


def test_the_second_question_of_an_encoder_decoder_ends_as_its_texts_do(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["t5"]
    head = ReasoningHead(9, tuple(backbone.tokenizer("was", add_special_tokens=False)["input_ids"]))
    stub = Stub(backbone, "", "")
    (example,) = encode(backbone, Task("g", "generation"), Row("the film"))
    reasoned(backbone, [head], [example], stub)
    assert [words for words, _ in stub.asked] == [["the film </s>"], ["the film </s> was </s>"]]


SAID = [
    ("number", "few-shot", "5 + 4 = 9. The answer is 9.", "9"),
    ("number", "few-shot", "The answer is 1,234.50 dollars, or 8", "1234.50"),
    ("number", "few-shot", "first 3, then 4", "4"),
    ("number", "few-shot", "The answer is 3. The answer is -4. It is 5.", "-4"),
    ("number", "few-shot", "the answer is 7.\n\nQ: 2?\nA: The answer is 8.", "7"),
    ("number", "few-shot", "no idea", ""),
    ("number", "zero-shot", " 12.\nSo 13", "12"),
    ("label", "few-shot", "Not bad. The answer is Positive.", "positive"),
    ("label", "few-shot", "Positive at first, but negative", "negative"),
    ("label", "few-shot", "The answer is nonpositive", ""),
    ("label", "zero-shot", " (negative), not positive", "negative"),
    ("label", "zero-shot", " positive and bright", "positive and bright"),
    ("text", "few-shot", "One two. The answer is the red bridge.\nNext", "the red bridge"),
    ("text", "zero-shot", "\n the red bridge. \nMore", "the red bridge"),
]


@pytest.mark.parametrize(("extract", "shots", "said", "expected"), SAID)
def test_the_answer_is_found_in_what_was_said(extract: str, shots: str, said: str, expected: str) -> None:
    reasoning = replace(THINK, shots=shots, extract=extract, answer_trigger="The answer is")
    shown = (Demonstration("a", "b", rationale="c"),) if shots == "few-shot" else ()
    prompt = TextPrompt(("{text}",), demonstrations=shown, reasoning=reasoning)
    assert extracted(Task("t", "generation", (*LABELS, "positive and bright"), prompt), said) == expected


def test_a_plain_answer_ends_where_the_next_demonstration_would_begin() -> None:
    prompt = TextPrompt(("Q: {text}\nA: It is {mask}.",), demonstrations=(Demonstration("a", "b"),))
    assert extracted(Task("t", "generation", text_prompt=prompt), " 3.5.\n\nQ: c\nA: It is 4.") == "3.5"
    assert extracted(Task("t", "generation"), " 3.5.\n\nQ: c ") == "3.5.\n\nQ: c"


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_reasoning_goes_on_from_the_models_own_words(backbones: dict[str, Backbone], name: str) -> None:
    """What two plain generations by hand say, whatever else is in the batch."""
    backbone = backbones[name]
    think = replace(THINK, extract="text", answer_trigger="was", trigger="the")
    task = Task("t", "generation", text_prompt=TextPrompt(("which {text}",), reasoning=think, limit=5))
    artifact = worded(backbone, "t", task)
    plain = worded(backbone, "p", Task("p", "generation", text_prompt=TextPrompt(("{text}",))))

    def words(text: str) -> list[int]:
        return backbone.tokenizer(text, add_special_tokens=False)["input_ids"]

    def say(ids: list[int], limit: int) -> list[int]:
        ids = backbone.enclosed(ids)
        example = Example(ids, [0] * len(ids), infix=len(ids))
        return predict(backbone, [(replace(plain, head=GenerationHead(limit)), example)])[0].tolist()

    first = words("which red bridge the")
    expected = say([*first, *say(first, 9), *words("was")], 5)
    items = [
        (plain, encode(backbone, plain.card.task or task, Row("a very slow train"))[0]),
        (artifact, encode(backbone, task, Row("red bridge"))[0]),
    ]
    assert predict(backbone, items)[1].tolist() == expected


def test_what_is_said_never_goes_past_what_the_backbone_reads(backbones: dict[str, Backbone]) -> None:
    """512 bytes: 9 of thoughts, 25 of `\\nTherefore, the answer is`, 5 of the answer leave 473 to read first."""
    backbone = backbones["letters"]
    artifact = worded(backbone, "sums", SUMS)
    (example,) = encode(backbone, SUMS, Row("x" * 600))
    assert len(example.input_ids) == 512 - 9 - 25 - 5
    assert len(predict(backbone, [(artifact, example)])[0]) <= 5


def test_an_artifact_in_words_has_no_tensors_and_is_the_same_bytes_each_time(backbones: dict[str, Backbone]) -> None:
    shown = (Demonstration("a", "positive"), Demonstration("b", "negative"))
    prompt = replace(MOOD.text_prompt, demonstrations=shown, seed=3, instruction="say") if MOOD.text_prompt else None
    artifact = worded(backbones["bert"], "mood", replace(MOOD, text_prompt=prompt))
    assert artifact.nbytes == 0
    assert Artifact.from_bytes(artifact.to_bytes()) == artifact
    assert artifact.to_bytes() == worded(backbones["bert"], "mood", replace(MOOD, text_prompt=prompt)).to_bytes()


def test_a_card_keeps_only_what_is_not_as_usual_and_refuses_what_it_does_not_know(
    backbones: dict[str, Backbone],
) -> None:
    assert TextPrompt(("{text}",)).to_json() == {"templates": ["{text}"]}
    whole = TextPrompt(
        ("{text} {pair}",), (("a",), ("b",)), (2.0,), "i", (Demonstration("t", "a", "p", "r"),), 4, THINK, 7
    )
    assert TextPrompt.from_json(whole.to_json()) == whole
    blob = worded(backbones["bert"], "mood", MOOD).to_bytes()
    with pytest.raises(CorruptArtifact):
        Artifact.from_bytes(blob.replace(b"templates", b"temp1ates"))


def test_rendering_shows_special_and_virtual_tokens_where_they_are(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["bert"]
    task = replace(MOOD, text_prompt=TextPrompt(("{prompt:2} {text} it was {prompt} {mask}", "{text} {mask}"), WORDS))
    artifact = worded(backbone, "mood", MOOD)
    trained = replace(artifact, card=replace(artifact.card, task=task), form=SoftPrompt(torch.zeros(3, 40), "template"))
    assert rendered(backbone, trained, Row("the film"))[0] == "[CLS] [P1][P2] the film it was [P3] [MASK] [SEP]"
    opened = replace(trained, form=SoftPrompt(torch.zeros(2, 40), "after-first"))
    assert rendered(backbone, opened, Row("the film"))[1] == "[CLS] [P1][P2] the film [MASK] [SEP]"
    assert rendered(backbone, artifact, Row("the film")) == ["[CLS] the film it was [MASK] [SEP]"]


PLAIN = TextPrompt(("{text}",))
FEW = Reasoning("few-shot", "The answer is")
REFUSED = [
    ("bert", replace(MOOD, text_prompt=TextPrompt(("{text} good",), WORDS)), "templates.0: .* no slot {mask}"),
    (
        "gpt2",
        replace(MOOD, text_prompt=TextPrompt(("{text}", "{mask} {text}"), WORDS)),
        "templates.1: .* behind {mask}",
    ),
    (
        "bert",
        replace(MOOD, text_prompt=TextPrompt(("{text} {mask} {prompt}",), WORDS)),
        "templates.0: .* trained vectors",
    ),
    ("bert", replace(MOOD, text_prompt=TextPrompt(("{text} {mask}",))), "verbalizer: 2 labels and words for 0"),
    (
        "bert",
        replace(MOOD, text_prompt=TextPrompt(("{text} {mask}",), (("bad",), ("goodish",)))),
        "verbalizer: .*'goodish' is not one token",
    ),
    (
        "bert",
        replace(MOOD, text_prompt=TextPrompt(("{text} {mask}",), WORDS, (1.0, 2.0))),
        "weights: give each of the 1 templates one",
    ),
    (
        "bert",
        replace(MOOD, text_prompt=TextPrompt(("{text} {mask}",), WORDS, demonstrations=(Demonstration("a", "c"),))),
        "demonstrations.0.label: 'c' is not one of negative, positive",
    ),
    (
        "bert",
        replace(MOOD, text_prompt=TextPrompt(("{text} {mask}",), WORDS, reasoning=THINK)),
        "reasoning: a classification task answers with one word",
    ),
    ("bert", Task("g", "generation", text_prompt=PLAIN), "the encoder .* cannot"),
    (
        "gpt2",
        Task("g", "generation", text_prompt=TextPrompt(("{text}", "{text} a"))),
        "templates: 2 patterns cannot vote",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=TextPrompt(("{text}",), WORDS)),
        "verbalizer: a generation task has none",
    ),
    ("gpt2", Task("g", "generation", text_prompt=replace(PLAIN, reasoning=FEW)), "few-shot with 0 demonstrations"),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, reasoning=FEW, demonstrations=(Demonstration("a", "b"),))),
        "demonstrations.0.rationale: missing",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, demonstrations=(Demonstration("a", "b", rationale="c"),))),
        "demonstrations.0.rationale: only few-shot",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, demonstrations=(Demonstration("a", "b", "c"),))),
        "demonstrations.0.pair: no template",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=TextPrompt(("{text} {pair}",), demonstrations=(Demonstration("a", "b"),))),
        "demonstrations.0.pair: missing",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, reasoning=replace(THINK, trigger=""))),
        "trigger: zero-shot",
    ),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, reasoning=replace(THINK, extract="label"))),
        "extract: the task has no labels",
    ),
    ("gpt2", Task("g", "generation", text_prompt=replace(PLAIN, limit=128)), "templates.0: too long: .* 128 tokens"),
    (
        "gpt2",
        Task("g", "generation", text_prompt=replace(PLAIN, demonstrations=(Demonstration("red " * 50, "b"),) * 2)),
        "demonstrations: 1 of 2 fit into 128 tokens",
    ),
    ("bert", Task("qa", "span-qa", text_prompt=PLAIN), r"task 'qa' \(span-qa\) has no text prompt"),
    ("bert", Task("plain", "classification", LABELS), "task 'plain' .* has no text prompt"),
]


@pytest.mark.parametrize(("name", "task", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_words_that_do_not_fit_are_refused_by_their_field(
    backbones: dict[str, Backbone], name: str, task: Task, words: str
) -> None:
    with pytest.raises(InvalidSetting, match=words):
        worded(backbones[name], "x", task)


def test_a_backbone_without_a_language_model_is_refused_with_a_hint(tiny_folder: Path) -> None:
    with pytest.raises(InvalidSetting, match="has no language-model head") as caught:
        worded(Backbone.load(str(tiny_folder)), "mood", MOOD)
    assert "--backbone" in caught.value.hint
