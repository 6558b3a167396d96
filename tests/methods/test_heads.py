"""Which head a task gets, and which it cannot have."""

from pathlib import Path

import pytest
import torch

from methods import Backbone, InvalidSetting, Task, TextPrompt
from methods.heads import new_head
from tests.backbones import tiny as saved

SENTIMENT = ("negative", "positive")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(saved("bert", tmp_path_factory.mktemp("bert"))))


def head(backbone: Backbone, task: Task) -> object:
    return new_head(task, backbone, torch.Generator().manual_seed(0))


def test_an_encoder_generates_nothing(masked: Backbone) -> None:
    with pytest.raises(InvalidSetting, match="is an encoder and generates no text"):
        head(masked, Task("t", "generation"))


def test_an_encoder_reads_words_at_the_mask(masked: Backbone) -> None:
    words = (("bad",), ("good",))
    with pytest.raises(InvalidSetting, match="put it in"):
        head(masked, Task("t", "classification", SENTIMENT, TextPrompt(("{text} it was",), words)))
    assert head(masked, Task("t", "classification", SENTIMENT, TextPrompt(("{text} it was {mask}",), words)))


def test_a_backbone_without_a_language_model_head_reads_no_words(tiny: Backbone) -> None:
    task = Task("t", "classification", SENTIMENT, TextPrompt(("{text} it was {mask}",), (("bad",), ("good",))))
    with pytest.raises(InvalidSetting, match="no language-model head"):
        head(tiny, task)


def test_a_word_of_several_tokens_is_refused_by_name(masked: Backbone) -> None:
    task = Task("t", "classification", SENTIMENT, TextPrompt(("{text} {mask}",), (("bad",), ("zq",))))
    with pytest.raises(InvalidSetting, match="'zq' is not one token"):
        head(masked, task)


def test_a_file_without_a_pooler_gives_the_same_backbone_twice(tmp_path: Path) -> None:
    """Missing weights are never made up; a made-up pooler would differ from load to load."""
    folder = str(saved("bert", tmp_path))
    assert Backbone.load(folder).fingerprint == Backbone.load(folder).fingerprint
