from collections.abc import Callable
from dataclasses import replace

import torch

from methods import Artifact, Backbone, Prefix, SoftPrompt, Stack, parts
from methods.stored import tensors
from serve.fit import check_fit

from .conftest import NAMES, QUIZ, SAME, SENTIMENT, STORY, WORDED


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
