"""Backbones in fewer bits: near to what they were, and still the ones that artifacts were made on."""

from pathlib import Path

import pytest
import torch

from methods import Backbone, Row, Task, encode
from methods.forms import SoftPrompt
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from methods.runtime.decoding import generate
from methods.runtime.precision import Precision, lower
from tests.backbones import tiny

TEXTS = ("the old bridge", "a red book and a blue book on the left of the old tower", "not")


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "t5", "bart"])
def test_answers_are_near_and_artifacts_still_fit(name: str, precision: Precision, tmp_path: Path) -> None:
    backbone = Backbone.load(str(tiny(name, tmp_path)))
    task = Task("t", "classification", ("a", "b"))
    batch = collate(backbone, [encode(backbone, task, Row(text))[0] for text in TEXTS])
    soft = SoftPrompt(torch.randn(4, backbone.embedding_size, generator=torch.Generator().manual_seed(0)))
    prompts = Bank.of([soft]).rows(torch.zeros(3, dtype=torch.long))
    real = batch.attention_mask.bool()
    with torch.inference_mode():
        before = backbone.hidden(batch, prompts)[real]
        whole = backbone.fingerprint
        lower(backbone, precision)
        after = backbone.hidden(batch, prompts)[real]
    assert after.dtype == torch.float32
    changed = (after - before).norm() / before.norm()
    assert 1e-4 < changed < 0.25  # random weights are harder on it than trained ones
    assert backbone.fingerprint.same(whole)
    assert backbone.fingerprint.name == f"{whole.name} ({precision})"
    if backbone.lm is not None and backbone.architecture != "encoder":
        said = generate(backbone, batch, prompts, 5)
        assert all(len(row) <= 5 for row in said)


def test_what_a_layer_of_8_bits_makes_of_a_token_depends_on_no_other(tmp_path: Path) -> None:
    """A token a thousand times as large beside it, or a token of nothing, changes no bit."""
    backbone = Backbone.load(str(tiny("bert", tmp_path)))
    layer = backbone.model.get_submodule("encoder.layer.0.intermediate.dense")
    tokens = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(0))
    plain = layer(tokens)
    lower(backbone, "int8")
    layer = backbone.model.get_submodule("encoder.layer.0.intermediate.dense")
    alone = layer(tokens)
    assert 0 < (alone - plain).norm() / plain.norm() < 0.05
    beside = torch.cat([tokens, 1000 * tokens[:1], torch.zeros(1, 5, 40)])
    assert torch.equal(layer(beside)[:3], alone)
    assert torch.equal(layer(beside)[4], layer(torch.zeros(1, 5, 40))[0])
