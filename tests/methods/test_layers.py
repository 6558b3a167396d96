"""Which layers and places a setting names."""

from pathlib import Path

import pytest
import torch

from methods import Backbone, InvalidSetting, Prefix, Row, Task, TextPrompt, encode, method, parts
from methods.beginnings.layers import chosen_layers
from methods.beginnings.places import chosen_places
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from tests.backbones import tiny as tiny_of

TASK = Task("t", "classification", ("a", "b"))
SAID = Task("said", "generation")


@pytest.mark.parametrize(
    ("setting", "layers"),
    [
        ("all", (0, 1, 2, 3, 4, 5)),
        ("first:2", (0, 1)),
        ("last:2", (4, 5)),
        ("last:6", (0, 1, 2, 3, 4, 5)),
        ("3,5,4", (3, 4, 5)),
        ("3, 4", (3, 4)),
        ("5", (5,)),
        (0, (0,)),
    ],
)
def test_a_setting_names_layers(setting: int | str, layers: tuple[int, ...]) -> None:
    assert chosen_layers(setting, 6, "encoder") == layers


@pytest.mark.parametrize(
    "setting", ["", "6", -1, "1,1", "1,6", "first:0", "last:7", "last", "first:", "every:2", "1-3"]
)
def test_a_setting_that_names_none_is_refused(setting: int | str) -> None:
    with pytest.raises(InvalidSetting, match="names no set of the 6 cross layers") as caught:
        chosen_layers(setting, 6, "cross")
    assert "0 to 5" in caught.value.hint


@pytest.mark.parametrize("name", ["p-tuning-v2", "prefix-tuning", "mpt"])
def test_a_prefix_trains_as_many_numbers_as_its_layers_hold(tiny: Backbone, name: str) -> None:
    """|layers| * 2 * P * N * D, here 2 * 2 * 6 * 4 * 10 = 960; MPT's shared prompt has as many."""
    module = method(name, {"layers": "0,2", "length": 6}).build(tiny, [TASK], torch.Generator())
    assert sum(one.numel() for one in module.parameters()) == 960 + (6 + 2 * 2 * 40 if name == "mpt" else 0)
    form = module.fold(0)
    assert isinstance(form, Prefix)
    assert form.layers == (0, 2)


def test_the_rows_of_a_prefix_have_no_order(tiny: Backbone) -> None:
    """A prefix has no positions, so turning its rows round changes nothing but the rounding."""
    module = method("p-tuning-v2", {"init": "vocabulary"}).build(tiny, [TASK], torch.Generator())
    form = module.fold(0)
    assert isinstance(form, Prefix)
    batch = collate(tiny, encode(tiny, TASK, Row("the film was very good")))
    bank = Bank.of([form, Prefix(form.key_values.flip(3), form.layers)])
    with torch.no_grad():
        one, other = (tiny.hidden(batch, bank.rows(torch.tensor([k]))) for k in range(2))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert (one - tiny.hidden(batch)).abs().max() > 0.1


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of("t5", tmp_path_factory.mktemp("t5"))))


@pytest.mark.parametrize(
    ("task", "setting", "places"),
    [
        (SAID, "all", ("encoder", "decoder", "cross")),
        (SAID, "cross", ("cross",)),
        (SAID, "cross, encoder", ("encoder", "cross")),
        (TASK, "all", ("encoder",)),
        (TASK, "encoder", ("encoder",)),
        (
            Task("w", "classification", ("a", "b"), TextPrompt(("{text}",), (("red",), ("blue",)))),
            "decoder",
            ("decoder",),
        ),
    ],
)
def test_places_are_those_that_the_answers_reach(
    t5: Backbone, task: Task, setting: str, places: tuple[str, ...]
) -> None:
    assert chosen_places(t5, task, setting) == places


@pytest.mark.parametrize(
    ("task", "setting", "message"),
    [
        (SAID, "middle", "places 'middle' are not known"),
        (SAID, "", "places '' are not known"),
        (SAID, "cross,cross", "are not known"),
        (TASK, "encoder,decoder", "which a prefix in decoder does not reach"),
    ],
)
def test_other_places_are_refused(t5: Backbone, task: Task, setting: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        chosen_places(t5, task, setting)


def test_an_encoder_has_no_decoder(tiny: Backbone) -> None:
    with pytest.raises(InvalidSetting, match="has no decoder attention"):
        chosen_places(tiny, TASK, "decoder")


def test_a_backbone_without_a_place_for_prefixes_says_so(tmp_path: Path) -> None:
    backbone = Backbone.load(str(tiny_of("deberta-v2", tmp_path)))
    with pytest.raises(InvalidSetting, match="cannot take a prefix"):
        method("prefix-tuning", {}).build(backbone, [TASK], torch.Generator())


def test_each_place_has_layers_of_its_own(t5: Backbone) -> None:
    """An encoder of 3 layers and a decoder of 2: the last one is layer 2 there and layer 1 here; D is 12."""
    module = method("prefix-tuning", {"layers": "last:1", "length": 5}).build(t5, [SAID], torch.Generator())
    found = [part for part in parts(module.fold(0)) if isinstance(part, Prefix)]
    assert [(part.place, part.layers) for part in found] == [("encoder", (2,)), ("decoder", (1,)), ("cross", (1,))]
    assert {part.key_values.shape for part in found} == {(1, 2, 4, 5, 12)}
    with pytest.raises(InvalidSetting, match="names no set of the 2 decoder layers"):
        method("prefix-tuning", {"layers": 2}).build(t5, [SAID], torch.Generator())
