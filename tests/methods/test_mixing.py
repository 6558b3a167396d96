"""A weighted mean of prompts."""

import pytest
import torch

from methods import Backbone, InvalidSetting, Prefix, SoftPrompt, Stack, Start, Task, method, mixed
from methods.forms import Form


def prefix(value: float, layers: tuple[int, ...] = (0, 2), length: int = 5) -> Prefix:
    return Prefix(torch.full((len(layers), 2, 4, length, 10), value), layers)


def test_a_mix_is_linear() -> None:
    """Weights 3 and 1 are shares of 0.75 and 0.25: 0.75 * [1, 2] + 0.25 * [5, -2] = [2, 1]."""
    form = mixed(
        [SoftPrompt(torch.tensor([[1.0, 2.0]]), "first"), SoftPrompt(torch.tensor([[5.0, -2.0]]), "first")], [3, 1]
    )
    assert isinstance(form, SoftPrompt)
    assert form.embeddings.tolist() == [[2.0, 1.0]]
    assert form.placement == "first"


def test_every_part_of_a_stack_is_mixed_with_its_like() -> None:
    """0.5 * 2 + 0.5 * 4 = 3 in the prefix, 0.5 * 0 + 0.5 * 1 = 0.5 in the soft prompt."""
    several = [
        Stack((prefix(2.0), SoftPrompt(torch.zeros(3, 40)))),
        Stack((prefix(4.0), SoftPrompt(torch.ones(3, 40)))),
    ]
    form = mixed(several, [0.1, 0.1])
    assert isinstance(form, Stack)
    first, second = form.parts
    assert isinstance(first, Prefix)
    assert isinstance(second, SoftPrompt)
    assert (first.layers, first.place) == ((0, 2), "encoder")
    torch.testing.assert_close(first.key_values, prefix(3.0).key_values)
    torch.testing.assert_close(second.embeddings, torch.full((3, 40), 0.5))


def test_one_version_alone_is_itself_to_the_last_bit() -> None:
    generator = torch.Generator().manual_seed(1)
    version = Prefix(torch.randn(3, 2, 4, 5, 10, generator=generator), (0, 1, 2))
    form = mixed([version], [0.3])
    assert isinstance(form, Prefix)
    assert torch.equal(form.key_values, version.key_values)
    assert (form.layers, form.place, form.shifts) == (version.layers, version.place, version.shifts)


def test_training_starts_from_a_mix(tiny: Backbone) -> None:
    start = mixed([SoftPrompt(torch.zeros(5, 40)), SoftPrompt(torch.ones(5, 40))], [1, 3])
    task = Task("t", "classification", ("a", "b"))
    for name in ("prompt-tuning", "p-tuning"):
        [form] = method(name, {"length": 5}).build(tiny, [task], torch.Generator(), Start(start)).forms()
        assert isinstance(form, SoftPrompt)
        torch.testing.assert_close(form.embeddings, torch.full((5, 40), 0.75))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (prefix(1.0), SoftPrompt(torch.ones(5, 40)), ("a prefix", "a soft prompt")),
        (prefix(1.0), prefix(1.0, (0, 1)), ("layers 0, 2", "layers 0, 1")),
        (prefix(1.0), prefix(1.0, length=4), ("length 5", "length 4")),
        (prefix(1.0), Prefix(prefix(1.0).key_values, (0, 2), "cross"), ("encoder layers", "cross layers")),
        (SoftPrompt(torch.ones(5, 40)), SoftPrompt(torch.ones(5, 40), "first"), ("placed after-first", "placed first")),
        (SoftPrompt(torch.ones(5, 40)), SoftPrompt(torch.ones(5, 24)), ("width 40", "width 24")),
        (SoftPrompt(torch.ones(5, 40)), SoftPrompt(torch.ones(5, 40), shifts=True), ("first can", "text's positions")),
        (prefix(1.0), Stack((prefix(1.0), prefix(1.0))), ("of 10 can", "of 10 and a prefix")),
        (prefix(1.0), None, ("a prefix", "no prompt at all")),
        (None, prefix(1.0), ("no prompt at all", "a prefix")),
        (None, None, ("no prompt at all", "no prompt at all")),
    ],
)
def test_unlike_prompts_are_refused_by_what_both_are(one: Form, other: Form, words: tuple[str, str]) -> None:
    with pytest.raises(InvalidSetting) as caught:
        mixed([one, other], [1, 1])
    first, _, second = str(caught.value).partition("not be mixed with")
    assert words[0] in first
    assert words[1] in second


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0], [2.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_weights_that_are_no_shares_are_refused(weights: list[float]) -> None:
    with pytest.raises(InvalidSetting, match="2 prompts cannot be mixed by the weights"):
        mixed([prefix(1.0), prefix(2.0)], weights)
