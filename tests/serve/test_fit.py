from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from methods import Artifact, Backbone, Head, Prefix, SoftPrompt, Stack, parts
from methods.forms import PromptPool
from methods.heads import RidgeHead, SessionsHead
from methods.stored import tensors
from serve.engine.fit import check_fit
from serve.errors import Integrity

from .conftest import NAMES, QUIZ, SAME, SENTIMENT, STORY, TOPIC, WORDED

NO_SIGNS, SIGNS = torch.zeros(0, 0, dtype=torch.int8), torch.ones(40, 7, dtype=torch.int8)


def test_everything_that_is_served_goes_to_the_device_and_factors_stay_behind(make: Callable[..., Artifact]) -> None:
    soft, prefix = make(SENTIMENT, 1), make(SENTIMENT, 2, form="prefix")
    assert isinstance(soft.form, SoftPrompt)
    assert isinstance(prefix.form, Prefix)
    whole = replace(soft, form=Stack((soft.form, prefix.form)), factors={"u": torch.ones(2)})
    there = whole.to(torch.device("meta"))
    served = [tensor for record in (*parts(there.form), there.head) for tensor in tensors(record).values()]
    assert [tensor.device.type for tensor in served] == ["meta"] * 4  # a soft prompt, a prefix, weight and bias
    assert (there.card, dict(there.factors)) == (whole.card, {})
    assert [type(part) for part in parts(there.form)] == [SoftPrompt, Prefix]


def test_an_artifact_without_a_prompt_stays_without_one(make: Callable[..., Artifact]) -> None:
    assert make(SENTIMENT, form="none").to(torch.device("cpu")).form is None


def test_every_head_as_it_is_trained_fits(make: Callable[..., Artifact], speaker: Backbone) -> None:
    for task in (SENTIMENT, SAME, NAMES, QUIZ, STORY, WORDED):
        artifact = make(task, backbone=speaker)
        assert artifact.head is not None
        check_fit(artifact.form, artifact.head, task, speaker)


@pytest.mark.parametrize(
    ("head", "fits"),
    [
        (SessionsHead(torch.zeros(4, 40), torch.zeros(4), (0, 1, 2, 1)), True),
        (SessionsHead(torch.zeros(3, 40), torch.zeros(3), (2, 1, 0)), True),
        (SessionsHead(torch.zeros(3, 41), torch.zeros(3), (0, 1, 2)), False),
        (SessionsHead(torch.zeros(2, 40), torch.zeros(2), (0, 1)), False),  # the third label has no row
        (SessionsHead(torch.zeros(4, 40), torch.zeros(4), (0, 1, 2, 3)), False),  # there is no fourth label
        (SessionsHead(torch.zeros(4, 40), torch.zeros(4), (0, 1, 2)), False),
        (SessionsHead(torch.zeros(3, 40), torch.zeros(4), (0, 1, 2)), False),
        (RidgeHead(NO_SIGNS, torch.zeros(3, 41)), True),
        (RidgeHead(NO_SIGNS, torch.zeros(3, 121), (1, 2)), True),
        (RidgeHead(SIGNS, torch.zeros(3, 7)), True),
        (RidgeHead(SIGNS.repeat(2, 1), torch.zeros(3, 7), (2,)), True),
        (RidgeHead(NO_SIGNS, torch.zeros(2, 41)), False),
        (RidgeHead(NO_SIGNS, torch.zeros(3, 40)), False),
        (RidgeHead(NO_SIGNS, torch.zeros(3, 41), (1,)), False),
        (RidgeHead(SIGNS, torch.zeros(3, 8)), False),
        (RidgeHead(SIGNS, torch.zeros(3, 7), (2,)), False),
        (RidgeHead(NO_SIGNS, torch.zeros(3, 81), (3,)), False),  # the last layer's states are always read
        (RidgeHead(NO_SIGNS, torch.zeros(3, 81), (0,)), False),  # there is nothing below layer 0 but embeddings
    ],
)
def test_a_head_that_grew_by_sessions_fits_by_its_sizes(tiny: Backbone, head: Head, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(Integrity, match="is none of a classification task with 3 labels"):
        check_fit(None, head, TOPIC, tiny)


def test_only_labelled_texts_are_learned_by_sessions(tiny: Backbone) -> None:
    head = SessionsHead(torch.zeros(2, 40), torch.zeros(2), (0, 1))
    check_fit(None, head, SAME, tiny)
    with pytest.raises(Integrity, match="is none of a tagging task"):
        check_fit(None, head, NAMES, tiny)


def test_a_pool_of_another_backbone_is_refused(tiny: Backbone) -> None:
    head = SessionsHead(torch.zeros(3, 40), torch.zeros(3), (0, 1, 2))
    rows = torch.zeros(1, 5, 40)
    check_fit(PromptPool(rows, rows, torch.zeros(1, 2, 5, 4, 3, 10), (2,), (5,)), head, TOPIC, tiny)
    with pytest.raises(Integrity, match="a pool of shape"):
        check_fit(PromptPool(rows, rows, torch.zeros(1, 2, 5, 4, 3, 12), (2,), (5,)), head, TOPIC, tiny)
