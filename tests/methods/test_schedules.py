"""The factor on the learning rate, update by update."""

import math

import pytest

from methods import Backbone, Learner, Progress, Task, train
from methods.continual import continual_method
from methods.continual.coda import CodaPrompt
from methods.schedules import SCHEDULES, Schedule, coda_reference, cosine, linear
from methods.training import Plan

from .sessions import FIRST, SMALL, session


def test_linear_rises_and_falls() -> None:
    """100 updates: 6 of warm-up, then linearly to zero."""
    assert [linear(done, 100, 10) for done in (0, 5, 6, 53, 99)] == pytest.approx([1 / 6, 1, 1, 0.5, 1 / 94])


def test_cosine_goes_from_one_to_zero() -> None:
    """Of 4 updates: (1 + cos 0) / 2, (1 + cos 45°) / 2, (1 + cos 90°) / 2, (1 + cos 135°) / 2; the next would be 0."""
    half = math.sqrt(0.5) / 2
    assert [cosine(done, 4, 2) for done in range(5)] == pytest.approx([1, 0.5 + half, 0.5, 0.5 - half, 0])


def test_the_reference_ends_at_a_tenth() -> None:
    """20 epochs of 3 updates: two at the full rate, the last at 1e-3 * cos(99 * 18 / (200 * 19) * 180°) = 9.74e-5."""
    factors = [coda_reference(done, 60, 3) for done in range(60)]
    assert factors[:6] == [1.0] * 6
    assert factors[::3] == factors[1::3] == factors[2::3] == sorted(factors[::3], reverse=True)
    assert 1e-3 * factors[-1] == pytest.approx(9.74e-5, abs=5e-8)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_one_epoch_of_one_update_learns(schedule: Schedule) -> None:
    assert schedule(0, 1, 1) == 1


def test_two_epochs_of_the_reference_have_the_full_rate() -> None:
    assert [coda_reference(done, 4, 2) for done in range(4)] == [1.0] * 4


def test_training_goes_by_the_schedule_of_its_method(tiny: Backbone) -> None:
    """3 epochs of 2 updates: the third epoch has cos(99 / 400 * 180°) = 0.713 of both rates."""
    settings = SMALL["coda"] | {"schedule": "coda-reference", "learning_rate": 0.5, "head_learning_rate": 0.25}
    method = continual_method("coda", settings)
    assert isinstance(method, CodaPrompt)
    learner = Learner.new(tiny, method, [Task("t", "classification", FIRST)], 1)
    progress = Progress(learner.optimizer())
    steps = train(learner, [session(tiny, FIRST).examples], Plan(3, 4, 1), progress)
    rates = [{group["lr"] for group in progress.optimizer.param_groups} for _ in steps]
    last = math.cos(0.2475 * math.pi)
    assert [sorted(pair) for pair in rates] == [[0.25, 0.5]] * 4 + [pytest.approx([0.25 * last, 0.5 * last])] * 2
