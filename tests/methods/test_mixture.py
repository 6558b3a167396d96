"""Versions as one: prompts always, heads where they answer alike."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from methods import Artifact, Card, Fingerprint, InvalidSetting, LinearHead, Prefix, SoftPrompt, Task, TextPrompt
from methods.forms import Form
from methods.heads import Head, SpanHead, VerbalizerHead
from methods.mixture import Portion, mixture

PRINT = Fingerprint("small", "c" * 64, "a" * 64, "t" * 64)
MOOD = Task("mood", "classification", ("bad", "good"))


def portion(
    value: float, weight: float = 1.0, name: str = "mood:1", task: Task | None = MOOD, **changes: Any
) -> Portion:
    form: Form = SoftPrompt(torch.full((5, 40), value))
    head: Head = LinearHead(torch.full((2, 40), value + 1), torch.full((2,), value))
    artifact = Artifact(Card(name, task, "prompt-tuning", {}, PRINT), form, head)
    return Portion(name, replace(artifact, **changes), weight)


def test_prompts_and_heads_have_the_same_shares() -> None:
    """Weights 3 and 1 are 0.75 and 0.25: 0.75 * 2 + 0.25 * 6 = 3; weights of the heads one more, 4."""
    made = mixture([portion(2.0, 3), portion(6.0, 1, "mood:2")])
    assert isinstance(made.form, SoftPrompt)
    assert isinstance(made.head, LinearHead)
    assert made.form.embeddings.unique().tolist() == [3.0]
    assert made.head.weight.unique().tolist() == [4.0]
    assert made.head.bias.unique().tolist() == [3.0]
    assert (made.task, made.apart, made.head.pooling) == (MOOD, "", "mean")


def test_a_mix_of_mixes_is_the_mix_of_all() -> None:
    """(a + b) / 2 and c, by 2 and 1, are a, b and c alike: (1 + 4 + 10) / 3 = 5."""
    a, b, c = portion(1.0), portion(4.0, 1, "mood:2"), portion(10.0, 1, "mood:3")
    half = mixture([a, b])
    nested = mixture([portion(0.0, 2, "mood:4", form=half.form, head=half.head), c])
    whole = mixture([a, b, c])
    for made in (nested, whole):
        assert isinstance(made.form, SoftPrompt)
        assert isinstance(made.head, LinearHead)
        torch.testing.assert_close(made.form.embeddings, torch.full((5, 40), 5.0))
        torch.testing.assert_close(made.head.weight, torch.full((2, 40), 6.0))


def test_logits_of_a_mixed_head_are_the_mix_of_logits() -> None:
    generator = torch.Generator().manual_seed(3)
    heads = [LinearHead(torch.randn(2, 40, generator=generator), torch.randn(2, generator=generator)) for _ in "ab"]
    made = mixture([portion(0.0, 0.7, head=heads[0]), portion(0.0, 0.3, "mood:2", head=heads[1])]).head
    assert isinstance(made, LinearHead)
    states = torch.randn(7, 40, generator=generator)
    each = [states @ head.weight.T + head.bias for head in heads]
    torch.testing.assert_close(states @ made.weight.T + made.bias, 0.7 * each[0] + 0.3 * each[1])


def test_a_verbalizer_has_nothing_to_average() -> None:
    head = VerbalizerHead(((3,), (4, 5)))
    assert mixture([portion(1.0, head=head), portion(2.0, 1, "mood:2", head=head)]).head == head


WORDED = Task("mood", "classification", ("bad", "good"), TextPrompt(("{text} it was",)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": None}, "qa:1 belongs to no task"),
        ({"task": Task("qa", "span-qa")}, "mood:1 answers classification rows and qa:1 span-qa rows"),
        (
            {"task": Task("qa", "classification", ("good", "bad"))},
            "the labels of mood:1 are bad, good; those of qa:1 good, bad",
        ),
        ({"task": WORDED}, "mood:1 and qa:1 word their rows differently"),
        ({"head": SpanHead(torch.ones(2, 40), torch.ones(2))}, "heads of other kinds or shapes"),
        ({"head": LinearHead(torch.ones(2, 40), torch.ones(2), "first")}, "heads of other kinds or shapes"),
    ],
)
def test_versions_that_answer_differently_leave_a_prompt_without_a_head(changes: dict[str, Any], words: str) -> None:
    made = mixture([portion(1.0), portion(3.0, 1, "qa:1", **changes)])
    assert isinstance(made.form, SoftPrompt)
    assert made.form.embeddings.unique().tolist() == [2.0]
    assert (made.task, made.head) == (None, None)
    assert words in made.apart


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"form": None}, "qa:1 has no prompt to mix"),
        ({"form": SoftPrompt(torch.ones(4, 40))}, "mood:1 is a soft prompt of length 5 .*; qa:1 is .* of length 4"),
        ({"form": Prefix(torch.ones(3, 2, 4, 5, 10), (0, 1, 2))}, "mood:1 is a soft prompt .*; qa:1 is a prefix"),
        (
            {"card": Card("qa", MOOD, "mpt", {}, replace(PRINT, name="large", weights="b" * 64))},
            r"mood:1 was trained on small \(weights aaaaaaaaaaaa\) and qa:1 on large \(weights b{12}\); weights differ",
        ),
    ],
)
def test_what_has_no_mean_is_refused_by_what_both_are(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        mixture([portion(1.0), portion(3.0, 1, "qa:1", **changes)])
