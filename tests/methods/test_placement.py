"""Where the virtual tokens of a soft prompt go among the tokens of a task."""

import pytest
import torch

from methods import (
    Artifact,
    Backbone,
    Card,
    InvalidSetting,
    Learner,
    Row,
    SoftPrompt,
    Task,
    TextPrompt,
    encode,
    method,
    predict,
)
from tests.backbones import tiny as tiny_of

KINDS = ("prompt-tuning", "p-tuning")
PLAIN = Task("plain", "classification", ("a", "b"))
WORDS = (("bad",), ("good",))
SAID_IN_WORDS = Task("w", "classification", ("a", "b"), TextPrompt(("{text} {prompt:5} {mask}",), WORDS))


def worded(*templates: str) -> Task:
    return Task("worded", "classification", ("a", "b"), TextPrompt(templates))


def placement(backbone: Backbone, name: str, task: Task, **settings: object) -> str:
    [form] = method(name, {"length": 5, **settings}).build(backbone, [task], torch.Generator()).forms()
    assert isinstance(form, SoftPrompt)
    return form.placement


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of("gpt2", tmp_path_factory.mktemp("gpt2"))))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("chosen", ["first", "after-first", "infix", "before-last"])
def test_a_task_without_slots_gets_its_prompt_where_the_setting_says(tiny: Backbone, name: str, chosen: str) -> None:
    assert placement(tiny, name, PLAIN, placement=chosen) == chosen
    assert placement(tiny, name, worded("{text} it was"), placement=chosen) == chosen


@pytest.mark.parametrize("name", KINDS)
def test_a_template_with_slots_gets_it_there(tiny: Backbone, name: str) -> None:
    task = worded("{prompt:2} {text} {prompt:3}", "{prompt:5} it was {text}")
    assert placement(tiny, name, task) == placement(tiny, name, task, placement="template") == "template"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("templates", "found"),
    [
        (("{prompt:3} {text}",), "3"),
        (("{prompt:5} {text}", "{prompt} {text}"), "1 or 5"),
        (("{prompt:5} {text}", "{text}"), "0 or 5"),
    ],
)
def test_slots_that_are_not_the_length_are_refused(
    tiny: Backbone, name: str, templates: tuple[str, ...], found: str
) -> None:
    with pytest.raises(InvalidSetting, match=f"has {found} slots {{prompt}} and the prompt has length 5"):
        placement(tiny, name, worded(*templates))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("task", [PLAIN, worded("{text} it was")])
def test_the_placement_template_needs_slots(tiny: Backbone, name: str, task: Task) -> None:
    with pytest.raises(InvalidSetting, match=f"task '{task.name}' has no template with slots") as caught:
        placement(tiny, name, task, placement="template")
    assert "{prompt:5}" in caught.value.hint


def test_a_decoder_reads_no_slot_behind_the_mask(gpt2: Backbone, tiny: Backbone) -> None:
    task = worded("{prompt:3} {text} {mask} {prompt:2}")
    assert placement(tiny, "p-tuning", task) == "template"
    with pytest.raises(InvalidSetting, match="has 3 slots"):
        placement(gpt2, "p-tuning", task)


@pytest.mark.parametrize(
    ("chosen", "task"),
    [
        ("before-last", PLAIN),
        ("before-last", Task("p", "pair", ("a", "b"))),
        ("infix", PLAIN),
        ("after-first", worded("{text} it was {prompt:5} {mask}")),
    ],
)
def test_a_decoder_takes_no_prompt_behind_what_it_reads(gpt2: Backbone, chosen: str, task: Task) -> None:
    with pytest.raises(InvalidSetting, match="where a decoder's text never sees them"):
        placement(gpt2, "prompt-tuning", task, placement=chosen)


@pytest.mark.parametrize(
    ("chosen", "task"),
    [
        ("before-last", Task("said", "generation")),
        ("template", SAID_IN_WORDS),
        ("before-last", Task("w", "classification", ("a", "b"), TextPrompt(("{text}",), WORDS))),
        ("infix", Task("p", "pair", ("a", "b"))),
        ("first", PLAIN),
        ("template", worded("{text} {prompt:5} it was {mask}")),
    ],
)
def test_a_decoder_takes_a_prompt_that_something_follows(gpt2: Backbone, chosen: str, task: Task) -> None:
    assert placement(gpt2, "prompt-tuning", task, placement=chosen) == chosen


def test_tasks_that_share_a_soft_prompt_place_it_alike(tiny: Backbone) -> None:
    one = method("mpt", {"form": "soft-prompt", "length": 5})
    with pytest.raises(InvalidSetting, match="some of the tasks have a template with slots"):
        one.build(tiny, [PLAIN, worded("{prompt:5} {text}")], torch.Generator())
    form = one.build(tiny, [worded("{prompt:5} {text}")] * 2, torch.Generator()).shared()
    assert isinstance(form, SoftPrompt)
    assert form.placement == "template"


def test_a_decoder_says_the_label_after_virtual_tokens_behind_the_text(gpt2: Backbone) -> None:
    """As P-tuning writes it for GPT (Liu et al., 2021, figure 2): [text, P1..P5] and then the word."""
    learner = Learner.new(gpt2, method("p-tuning", {"length": 5}), [SAID_IN_WORDS], 0)
    (example,) = encode(gpt2, SAID_IN_WORDS, Row("the film", label="b"))
    (longer,) = encode(gpt2, SAID_IN_WORDS, Row("the old film was good", label="b"))
    next(learner.losses([(0, example)])).total.sum().backward()
    grads = [parameter.grad for parameter in learner.prompts.parameters()]
    assert any(grad is not None and bool(grad.abs().sum() > 0) for grad in grads)

    form, head = learner.fold(0)
    assert isinstance(form, SoftPrompt)
    words = gpt2.embed(torch.tensor(example.input_ids))
    with torch.no_grad():
        whole = gpt2.language_model()(inputs_embeds=torch.cat([words, form.embeddings])[None], position_ids=_at(2, 5))
    expected = whole.logits[0, -1, [gpt2.tokenizer("bad")["input_ids"][0], gpt2.tokenizer("good")["input_ids"][0]]]
    artifact = Artifact(Card("w", SAID_IN_WORDS, "p-tuning", {}, gpt2.fingerprint), form, head)
    found = predict(gpt2, [(artifact, longer), (artifact, example)])[1]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)


def _at(words: int, virtual: int) -> torch.Tensor:
    """Virtual tokens behind all words stay at the last word's position."""
    return torch.tensor([[*range(words), *[words - 1] * virtual]])
