"""Private training: each row's gradient is its own, no row counts for more than the clip, and the noise is as said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from methods import (
    Backbone,
    InvalidSetting,
    Learner,
    Plan,
    Progress,
    PromptModule,
    Row,
    Step,
    Task,
    TextPrompt,
    encode,
    method,
)
from methods.baselines.bitfit import BitFit
from methods.forms import Form, PromptPool, SoftPrompt
from methods.privacy.accounting import ORDERS, Mechanism, calibrated, spent
from methods.privacy.clipping import Unit, check_private, clipped_sum, row_gradients
from methods.privacy.training import drawn, private_sum, sample_rate, steps_per_epoch, train_privately

Data = tuple[Task, list[Row]]

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "head-only": {},
    "mpt": {"length": 5},
    "mpt soft": {"length": 5, "form": "soft-prompt", "rank": 2},
    "mpt last": {"length": 5, "layers": "last:1"},
    "p-tuning": {"length": 5},
    "p-tuning mlp": {"length": 5, "encoder": "mlp"},
    "p-tuning-v2": {"length": 5},
    "p-tuning-v2 shared": {"length": 5, "share": True},
    "prefix-tuning": {"length": 5},
    "prefix-tuning mlp": {"length": 5, "reparameterization": "mlp"},
    "prompt-tuning": {"length": 5, "placement": "before-last"},
}
MIXED = Task("mixed", "classification", ("bad", "good"), TextPrompt(("{text} it was", "how {text}"), ()))
TAGS = Task("tags", "tagging", ("O", "LOC"))
CHOICE = Task("choice", "multiple-choice")


def units(backbone: Backbone, data: Sequence[Data]) -> list[Unit]:
    return [(task, encode(backbone, one, row)) for task, (one, rows) in enumerate(data) for row in rows]


def learner(backbone: Backbone, name: str, data: Sequence[Data]) -> Learner:
    one = method(name.split()[0], SETTINGS.get(name, {}))
    return Learner.new(backbone, one, [task for task, _ in data], seed=1)


def one_by_one(learner: Learner, unit: Unit) -> Tensor:
    """A row's gradient [M] by a backward pass over that row alone."""
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    task, examples = unit
    for example in examples:
        for losses in learner.losses([(task, example)]):
            losses.total.sum().backward()
    return torch.cat([parameter.grad.flatten() for parameter in trained if parameter.grad is not None])


def assert_the_same_rows(learner: Learner, several: Sequence[Unit]) -> None:
    expected = torch.stack([one_by_one(learner, unit) for unit in several])
    found = torch.cat(list(row_gradients(learner, several)))
    assert found.shape == expected.shape
    distance = torch.cdist(found.double(), expected.double())
    nearest = distance.argmin(1)
    assert sorted(nearest.tolist()) == list(range(len(several)))  # each row's gradient is found once
    assert (found - expected[nearest]).abs().max().item() < 1e-6
    assert expected.norm(dim=1).min() > 1e-3


@pytest.mark.parametrize("name", SETTINGS)
def test_rows_gradients_are_those_of_backward_passes_over_single_rows(
    tiny: Backbone, sentiment: Data, qa: Data, name: str
) -> None:
    data = [(sentiment[0], sentiment[1][::2]), (qa[0], qa[1][::2])]
    assert_the_same_rows(learner(tiny, name, data), units(tiny, data))


def test_so_are_those_of_tags_choices_and_a_row_of_several_templates(tiny: Backbone) -> None:
    data: list[Data] = [
        (MIXED, [Row("the film", label="good"), Row("a very dull hotel in the city", label="bad")]),
        (TAGS, [Row(tokens=("the", "old", "city"), tags=("O", "O", "LOC"))]),
        (CHOICE, [Row("who sold", choices=("the mayor of the city", "a bridge", "night"), label="a bridge")]),
    ]
    assert_the_same_rows(learner(tiny, "mpt", data), units(tiny, data))


@pytest.mark.parametrize("kind", ["gpt2", "t5-lm"])
def test_so_are_those_of_decoders_and_of_what_is_generated(backbone_of, kind: str) -> None:
    backbone = backbone_of(kind)
    say = Task("say", "generation")
    data: list[Data] = [(say, [Row("the old film", target="good"), Row("a hotel", target="very bad and dull")])]
    assert_the_same_rows(learner(backbone, "prefix-tuning", data), units(backbone, data))


def test_a_row_without_an_example_adds_nothing(tiny: Backbone, sentiment: Data) -> None:
    data = [sentiment]
    found = list(row_gradients(learner(tiny, "mpt", data), [(0, []), *units(tiny, data)[:1]]))
    assert [len(one) for one in found] == [1]
    assert list(row_gradients(learner(tiny, "mpt", data), [(0, [])])) == []


def test_a_sum_holds_no_row_longer_than_the_clip() -> None:
    """(3, 4) has length 5 and is cut to (0.6, 0.8) * 2; (0.3, 0.4) stays; what is not finite is left out."""
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [math.inf, 0.0], [math.nan, 1.0]])
    assert clipped_sum(rows, 2.0).tolist() == pytest.approx([1.5, 2.0])
    assert clipped_sum(rows[2:], 2.0).tolist() == [0.0, 0.0]
    assert clipped_sum(torch.zeros(1, 2), 2.0).tolist() == [0.0, 0.0]


def test_one_row_more_moves_the_sum_by_no_more_than_the_clip(tiny: Backbone, sentiment: Data) -> None:
    data = [sentiment]
    several, quiet = units(tiny, data), Mechanism(0.0, 0.7, 1.0)
    learned = learner(tiny, "mpt", data)
    generator = torch.Generator().manual_seed(0)
    whole = private_sum(learned, several, quiet, generator)
    for left_out in range(len(several)):
        rest = several[:left_out] + several[left_out + 1 :]
        moved = (whole - private_sum(learned, rest, quiet, generator)).norm().item()
        assert moved == pytest.approx(0.7, abs=1e-4)  # the random backbone's gradients are all longer than that


def test_noise_has_the_deviation_that_is_said(tiny: Backbone, sentiment: Data) -> None:
    """Of M = 5 * 240 + 5 + 240 + 82 = 1527 numbers; a deviation of 2 * 0.5 is off by 1 / sqrt(2 M) = 0.018."""
    learned = learner(tiny, "mpt", [sentiment])
    noise = private_sum(learned, [], Mechanism(2.0, 0.5, 1.0), torch.Generator().manual_seed(0))
    assert noise.shape == (1527,)
    assert noise.std().item() == pytest.approx(1.0, abs=0.08)
    assert abs(noise.mean().item()) < 0.1


def go(learned: Learner, data: Sequence[Data], mechanism: Mechanism, epochs: int = 2, seed: int = 5) -> list[Step]:
    rows = [[list(examples) for task, examples in units(learned.backbone, data) if task == k] for k in range(len(data))]
    generator = torch.Generator().manual_seed(seed)
    progress = Progress(learned.optimizer())
    return list(train_privately(learned, rows, Plan(epochs, 4, 7), progress, mechanism, generator))


def test_without_noise_and_clipping_a_full_batch_is_the_plain_mean_gradient(tiny: Backbone, sentiment: Data) -> None:
    data = [sentiment]
    private, plain = learner(tiny, "prompt-tuning", data), learner(tiny, "prompt-tuning", data)
    several = units(tiny, data)
    expected = torch.stack([one_by_one(plain, unit) for unit in several]).mean(0)
    rows = [[list(examples) for _, examples in several]]
    steps = train_privately(
        private, rows, Plan(1, len(several), 0), Progress(private.optimizer()), Mechanism(0.0, 1e6, 1.0)
    )
    next(steps)
    found = torch.cat([one.grad.flatten() for one in private.parameters() if one.grad is not None])
    assert (found - expected).abs().max().item() < 1e-6


def test_steps_say_neither_loss_nor_how_many_rows_were_drawn(tiny: Backbone, sentiment: Data) -> None:
    """8 rows in batches of 4: 2 steps an epoch, each row drawn with a chance of one half."""
    learned = learner(tiny, "mpt", [sentiment])
    steps = go(learned, [sentiment], Mechanism(1.0, 1.0, sample_rate(8, 4)))
    assert [(one.index, one.total, one.epoch, one.last_of_epoch, one.rows) for one in steps] == [
        (1, 4, 0, False, 4),
        (2, 4, 0, True, 4),
        (3, 4, 1, False, 4),
        (4, 4, 1, True, 4),
    ]
    assert all(math.isnan(one.loss) and not one.task_losses and not one.parts for one in steps)
    assert (steps_per_epoch(9, 4), sample_rate(3, 4)) == (3, 1.0)


def test_rows_are_drawn_each_by_itself() -> None:
    """In 200 steps each of 8 rows comes 50 times at a rate of 1/4, give or take sqrt(200 * 3/16) = 6; sizes differ."""
    generator = torch.Generator().manual_seed(2)
    batches = [drawn(8, 0.25, generator) for _ in range(200)]
    counts = torch.bincount(torch.tensor([row for batch in batches for row in batch]), minlength=8)
    assert counts.sub(50).abs().max() <= 24
    assert {len(batch) for batch in batches} >= {0, 1, 2, 3, 4}
    assert drawn(8, 1.0, generator) == list(range(8))


def test_the_seed_of_a_run_decides_neither_batches_nor_noise(tiny: Backbone, sentiment: Data) -> None:
    learned = [learner(tiny, "head-only", [sentiment]) for _ in range(2)]
    rows = [[list(examples) for _, examples in units(tiny, [sentiment])]]
    for one in learned:
        list(train_privately(one, rows, Plan(1, 4, 7), Progress(one.optimizer()), Mechanism(1.0, 1.0, 0.5)))
    first, second = (torch.cat([p.flatten() for p in one.parameters()]) for one in learned)
    assert not torch.equal(first, second)


def test_what_a_budget_allows_can_be_learned_from(tiny: Backbone, sentiment: Data) -> None:
    task, rows = sentiment
    data = [(task, rows * 8)]
    learned = learner(tiny, "head-only", data)
    several = units(tiny, [sentiment])

    def loss() -> float:
        found = learned.losses([(0, one) for _, examples in several for one in examples])
        return sum(one.total.sum().item() for one in found) / len(several)

    before = loss()
    go(learned, data, Mechanism(0.5, 1.0, sample_rate(64, 4)))
    assert loss() < 0.9 * before


class Routed(PromptModule):
    """A prompt of which every row gets its own mixture."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = torch.nn.Parameter(torch.ones(3, 2, 40))
        self.components = torch.nn.Parameter(torch.ones(3, 2, 2, 4, 5, 10))

    def forms(self) -> Sequence[Form]:
        return [PromptPool(self.keys, self.keys, self.components, (0, 1, 2), (2,))]


class Beside(PromptModule):
    """A prompt that trains a number which is not in it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = torch.nn.Parameter(torch.zeros(5, 40))
        self.hidden = torch.nn.Parameter(torch.zeros(1))

    def forms(self) -> Sequence[Form]:
        return [SoftPrompt(self.shown)]


def test_what_a_row_cannot_be_bounded_in_is_refused(tiny: Backbone, sentiment: Data, qa: Data) -> None:
    plain = learner(tiny, "head-only", [sentiment])
    check_private(plain)

    def refused(one: Learner, words: str) -> None:
        with pytest.raises(InvalidSetting, match=words):
            check_private(one)
        with pytest.raises(InvalidSetting, match=words):
            next(train_privately(one, [[]], Plan(1, 1, 0), Progress(plain.optimizer()), Mechanism(1.0, 1.0, 1.0)))

    tasks = [sentiment[0], qa[0]]
    refused(Learner.new(tiny, method("mpt", {"length": 5, "sampling": "stochastic"}), tasks, 0), "by its tasks")
    refused(Learner.new(tiny, method("mpt", {"length": 5, "distillation": 0.9}), tasks, 0), "teacher")
    refused(Learner.new(tiny, BitFit(), tasks[:1], 0), "in no prompt")
    routed = Learner.new(tiny, method("head-only", {}), tasks[:1], 0)
    routed.prompts = Routed()
    refused(routed, "that rows choose from")
    routed.prompts = Beside()
    refused(routed, "in no prompt")


def test_epsilon_without_sampling_is_that_of_the_gaussian_mechanism() -> None:
    """T steps at rate 1 have the Renyi divergence T a / (2 s^2) of order a (Mironov, 2017, corollary 3).

    To (epsilon, delta): + log((a - 1) / a) - (log delta + log a) / (a - 1) (Canonne et al., 2020, proposition 12).
    """
    steps, noise, delta = 10, 4.0, 1e-5
    by_hand = min(
        steps * a / (2 * noise**2) + math.log((a - 1) / a) - (math.log(delta) + math.log(a)) / (a - 1) for a in ORDERS
    )
    assert spent(Mechanism(noise, 1.0, 1.0), steps, delta) == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.05, 1.0, 8.0, 200.0])
def test_calibrated_noise_keeps_the_budget_and_little_less_would_not(epsilon: float) -> None:
    found = calibrated(epsilon, 1e-4, 0.04, 100)
    assert epsilon * 0.998 < spent(found, 100, 1e-4) <= epsilon
    assert spent(replace(found, noise_multiplier=found.noise_multiplier * 0.99), 100, 1e-4) > epsilon
    assert found.clip == 1.0


def test_a_smaller_share_of_rows_and_fewer_steps_spend_less() -> None:
    base = spent(Mechanism(1.0, 1.0, 0.1), 100, 1e-4)
    assert spent(Mechanism(1.0, 1.0, 0.05), 100, 1e-4) < base
    assert spent(Mechanism(1.0, 1.0, 0.1), 50, 1e-4) < base


def test_a_budget_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="no noise keeps 1000 steps within epsilon 1e-09"):
        calibrated(1e-9, 1e-12, 1.0, 1000)
