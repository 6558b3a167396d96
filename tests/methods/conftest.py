from collections.abc import Callable

import pytest
import torch

from methods import Backbone, Row, Task
from tests.backbones import tiny as tiny_of
from tests.backbones import tiny_bert

torch.set_num_threads(1)  # tiny models lose more to threads than they gain


@pytest.fixture(scope="session")
def tiny(tiny_folder) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture
def sentiment() -> tuple[Task, list[Row]]:
    good = [f"the {thing} was {how} good" for thing in ("film", "book") for how in ("very", "")]
    bad = [f"a {how} bad and dull {thing}" for thing in ("hotel", "train") for how in ("", "very")]
    rows = [Row(text, label="positive") for text in good] + [Row(text, label="negative") for text in bad]
    return Task("sentiment", "classification", ("negative", "positive")), rows


@pytest.fixture
def qa() -> tuple[Task, list[Row]]:
    rows = []
    for number, colour in (("one", "red"), ("two", "blue"), ("three", "green")):
        context = f"the old bridge of the city was {colour} and the mayor sold {number} tower in the night"
        rows.append(Row("which colour was the bridge", context, answers=(colour,), answer_start=context.index(colour)))
        rows.append(Row("how many sold", context, answers=(number,), answer_start=context.index(number)))
    return Task("qa", "span-qa"), rows


@pytest.fixture(scope="session")
def backbone_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Backbone]:
    loaded: dict[str, Backbone] = {}

    def backbone(name: str) -> Backbone:
        if name not in loaded:
            folder = tmp_path_factory.mktemp(name)
            family = name.removesuffix("-lm")  # with a language model's head, and so without a pooler
            loaded[name] = Backbone.load(str(tiny_bert(folder) if name == "bert" else tiny_of(family, folder)))
        return loaded[name]

    return backbone
