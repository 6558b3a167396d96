"""Prefix-tuning's MLP, its variants, and its three places; P-tuning v2's sharing."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods import Backbone, InvalidSetting, Learner, Prefix, Row, SoftPrompt, Start, Task, encode, method, parts
from methods.beginnings.reparameterization import MIDDLE, MLP, solve
from methods.forms import Form
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from methods.runtime.decoding import spoken
from tests.backbones import tiny as tiny_of

TASK = Task("t", "classification", ("a", "b"))
SAID = Task("said", "generation")
ROWS = [Row("the film was very good", target="one red book"), Row("who sold it", target="the mayor")]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of("gpt2", tmp_path_factory.mktemp("gpt2"))))


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of("t5", tmp_path_factory.mktemp("t5"))))


def built(backbone: Backbone, task: Task, name: str = "prefix-tuning", **settings: object) -> Form:
    module = method(name, {"length": 5, **settings}).build(backbone, [task], torch.Generator().manual_seed(2))
    return module.fold(0)


def seen(backbone: Backbone, form: Form) -> tuple[Tensor, Tensor]:
    """The states of the text [B, T, H] and the logits of the target [B, U, V]."""
    batch = collate(backbone, [encode(backbone, SAID, row)[0] for row in ROWS])
    prompts = Bank.of([form]).rows(torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        said = spoken(backbone, batch, prompts).logits
        return backbone.hidden(batch, prompts) * batch.attention_mask[:, :, None], said


def moved(backbone: Backbone, form: Form) -> tuple[bool, bool]:
    """Whether a form changes what the backbone makes of the text, and what it says."""
    before, after = seen(backbone, None), seen(backbone, form)
    states, logits = ((one - other).abs().max().item() for one, other in zip(before, after, strict=True))
    assert all(change < 1e-5 or change > 1e-2 for change in (states, logits))
    return states > 1e-2, logits > 1e-2


def test_the_mlp_is_the_authors() -> None:
    """Embedding(5, 8) -> Linear(8, 512) -> Tanh -> Linear(512, 24), by torch's own layers."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(5, 24, generator=generator)
    mlp = MLP(rows, 8, generator)
    oracle = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 512), nn.Tanh(), nn.Linear(512, 24))
    for own, other in zip(mlp.parameters(), oracle.parameters(), strict=True):
        other.data.copy_(own.data)
    torch.testing.assert_close(mlp(), oracle(torch.arange(5)))
    assert sum(one.numel() for one in mlp.parameters()) == 5 * 8 + 8 * 512 + 512 + 512 * 24 + 24


def test_the_mlp_is_drawn_as_torch_draws(tiny: Backbone) -> None:
    """Embedding N(0, 1), weights and bias uniform within 1 / sqrt(40) = 0.158."""
    mlp = MLP(torch.zeros(50, 24), 40, torch.Generator().manual_seed(1))
    assert mlp.embedding.std().item() == pytest.approx(1, abs=0.07)
    for one in mlp.inner.parameters():
        assert 0.9 * 0.158 < one.abs().max() <= 0.1582


@pytest.mark.parametrize("length", [1, 16, 200])
def test_the_mlp_begins_at_its_rows(length: int) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = 3 * torch.randn(length, 24, generator=generator)
    torch.testing.assert_close(MLP(rows, 40, generator)(), rows, atol=1e-4, rtol=0)


def test_more_rows_than_the_mlp_can_meet_are_met_by_least_squares() -> None:
    """One input 1, 2, 3 for the rows 1, 2, 6: by hand, slope through (1, -2), (2, -1), (3, 3) = 5 / 14, bias 3."""
    last = nn.Linear(1, 1)
    solve(last, torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [2.0], [6.0]]))
    assert last.bias.item() == 3
    assert last.weight.item() == pytest.approx((1 * -2 + 2 * -1 + 3 * 3) / 14)


@pytest.mark.parametrize("name", ["prefix-tuning", "p-tuning-v2"])
def test_through_an_mlp_a_prefix_starts_where_it_would_without(tiny: Backbone, name: str) -> None:
    """Both draw their words first."""
    free, through = (built(tiny, TASK, name, reparameterization=kind) for kind in ("none", "mlp"))
    assert isinstance(free, Prefix)
    assert isinstance(through, Prefix)
    torch.testing.assert_close(through.key_values, free.key_values, atol=1e-5, rtol=1e-5)


def test_the_rate_follows_the_reparameterization_unless_it_is_given() -> None:
    for name in ("prefix-tuning", "p-tuning-v2"):
        rates = [method(name, given).learning_rate for given in ({}, {"reparameterization": "mlp"})]
        assert rates[0] > 10 * rates[1] > 0
        assert method(name, {"reparameterization": "mlp", "learning_rate": 0.25}).learning_rate == 0.25


def test_each_place_has_an_mlp_of_its_own(t5: Backbone) -> None:
    """Per place P * H + (H * 512 + 512) + (512 * W + W); W is 2 * 4 * 12 = 96 per layer, of which there are 3, 2, 2."""
    module = method("prefix-tuning", {"length": 5, "reparameterization": "mlp"}).build(t5, [SAID], torch.Generator())
    by_place = [5 * 40 + 40 * MIDDLE + MIDDLE + (MIDDLE + 1) * 96 * layers for layers in (3, 2, 2)]
    assert sum(one.numel() for one in module.parameters()) == module.parameters_per_task() == sum(by_place)
    assert sum(part.key_values.numel() for part in parts(module.fold(0)) if isinstance(part, Prefix)) == 5 * 96 * 7


@pytest.mark.parametrize(
    ("places", "changes"),
    [("encoder", (True, True)), ("decoder", (False, True)), ("cross", (False, True)), ("all", (True, True))],
)
def test_each_place_acts_where_it_stands(t5: Backbone, places: str, changes: tuple[bool, bool]) -> None:
    assert moved(t5, built(t5, SAID, places=places)) == changes


def test_only_an_infix_leaves_a_causal_text_alone(gpt2: Backbone) -> None:
    assert moved(gpt2, built(gpt2, SAID, variant="infix")) == (False, True)
    assert moved(gpt2, built(gpt2, SAID, variant="embedding-only")) == (True, True)
    assert moved(gpt2, built(gpt2, SAID)) == (True, True)


@pytest.mark.parametrize("reparameterization", ["none", "mlp"])
def test_the_variants_train_input_embeddings(gpt2: Backbone, reparameterization: str) -> None:
    for variant, placement in (("infix", "before-last"), ("embedding-only", "after-first")):
        form = built(gpt2, SAID, variant=variant, reparameterization=reparameterization)
        assert isinstance(form, SoftPrompt)
        assert (form.embeddings.shape, form.placement) == ((5, 40), placement)


@pytest.mark.parametrize(
    ("backbone", "task", "settings", "message"),
    [
        ("tiny", TASK, {"variant": "infix"}, "task 't' is classification, .* is encoder$"),
        ("t5", SAID, {"variant": "infix"}, "task 'said' is generation, .* is encoder-decoder$"),
        ("gpt2", TASK, {"variant": "infix"}, "task 't' is classification, .* is decoder$"),
        ("tiny", TASK, {"variant": "embedding-only", "layers": 1}, "has neither places nor layers"),
        ("tiny", TASK, {"variant": "embedding-only", "places": "encoder"}, "has neither places nor layers"),
    ],
)
def test_a_variant_that_cannot_be_right_is_refused(
    request: pytest.FixtureRequest, backbone: str, task: Task, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        built(request.getfixturevalue(backbone), task, **settings)


def test_tasks_that_share_a_prefix_add_nothing_to_it(tiny: Backbone) -> None:
    tasks = [TASK, Task("u", "classification", ("a", "b", "c"))]
    learner = Learner.new(tiny, method("p-tuning-v2", {"length": 5, "share": True}), tasks, seed=1)
    assert sum(one.numel() for one in learner.prompts.parameters()) == 5 * 3 * 2 * 40
    assert learner.prompts.parameters_per_task() == 0
    forms: Sequence[Form] = [learner.prompts.shared(), *(learner.prompts.fold(k) for k in range(2))]
    matrices = [form.key_values for form in forms if isinstance(form, Prefix)]
    assert torch.equal(matrices[0], matrices[1])
    assert torch.equal(matrices[0], matrices[2])


def test_each_task_goes_on_from_what_they_shared(tiny: Backbone) -> None:
    settings: dict[str, object] = {"length": 5, "layers": "last:2"}
    together = method("p-tuning-v2", settings | {"share": True}).build(tiny, [TASK, SAID], torch.Generator())
    alone = method("p-tuning-v2", settings).build(tiny, [TASK], torch.Generator(), Start(together.shared()))
    shared, own = together.shared(), alone.fold(0)
    assert isinstance(shared, Prefix)
    assert isinstance(own, Prefix)
    assert torch.equal(shared.key_values, own.key_values)
    assert alone.shared() is None
