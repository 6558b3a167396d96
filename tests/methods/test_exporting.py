import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from methods import (
    Artifact,
    Backbone,
    Card,
    Form,
    GenerationHead,
    Head,
    LinearHead,
    Prefix,
    Row,
    SoftPrompt,
    SpanHead,
    Stack,
    Task,
    TextPrompt,
    VerbalizerHead,
    encode,
    predict,
)
from methods.exchange import (
    EXPORTERS,
    Inexact,
    Outgoing,
)
from tests.foreign import PROMPT, D, H, L, N, P, adapter, imported, noise


def own(
    backbone: Backbone, form: Form, head: Head | None, task: Task | None, method: str = "prompt-tuning"
) -> Artifact:
    return Artifact(Card("mood", task, method, {}, backbone.fingerprint), form, head)


def outgoing(backbone: Backbone, *artifacts: Artifact, **more: Any) -> Outgoing:
    return Outgoing(artifacts, lambda: backbone, **more)


SPEAK = Task("mood", "generation")
SORT = Task("mood", "classification", ("a", "b"))
SOFT = SoftPrompt(noise(P, H), "first", shifts=True)
KEYS = Prefix(noise(L, 2, N, P, D), (0, 1, 2), "encoder", shifts=True)
READ = LinearHead(noise(2, H), noise(2), "opening", pooler=True)


@pytest.mark.parametrize("to", ["peft", "tgis"])
def test_a_prompt_of_t5_has_that_geometry_without_being_told(backbone_of: Callable[[str], Backbone], to: str) -> None:
    backbone = backbone_of("t5")  # no token opens its inputs, and it sees distances only
    artifact = own(backbone, SoftPrompt(noise(P, H), "after-first"), GenerationHead(), SPEAK)
    files = EXPORTERS[to].write(outgoing(backbone, artifact)).files
    if to == "peft":
        assert torch.equal(load(files["adapter_model.safetensors"])["prompt_embeddings"], noise(P, H))
        assert json.loads(files["adapter_config.json"])["num_transformer_submodules"] == 1


REFUSED: list[tuple[str, str, Form, Head | None, Task | None, str]] = [
    ("peft", "bert", SoftPrompt(noise(P, H), "first"), READ, SORT, "placed first and takes no positions"),
    ("peft", "bert", replace(SOFT, placement="after-first"), READ, SORT, "placed after-first and counts"),
    ("peft", "gpt2", SoftPrompt(noise(P, H), "after-first"), GenerationHead(), SPEAK, "takes no positions"),
    ("peft", "llama", replace(SOFT, placement="after-first"), GenerationHead(), SPEAK, "placed after-first"),
    ("peft", "bert", replace(KEYS, shifts=False), READ, SORT, "does not move the text"),
    ("peft", "bert", Prefix(noise(2, 2, N, P, D), (0, 2), "encoder", True), READ, SORT, "in encoder layers 0, 2"),
    ("peft", "bert", Stack((SOFT, KEYS)), READ, SORT, "consists of 2 prompts"),
    ("peft", "bert", None, READ, SORT, "consists of 0 prompts"),
    ("peft", "bert", SOFT, replace(READ, pooling="mean"), SORT, "no class of transformers"),
    ("peft", "bert", SOFT, replace(READ, pooler=False), SORT, "no class of transformers"),
    ("peft", "roberta", SOFT, READ, SORT, "no class of transformers"),
    ("peft", "gpt2", SOFT, LinearHead(noise(2, H), noise(2), "last"), SORT, "no class of transformers"),
    ("peft", "bert", SOFT, SpanHead(noise(2, H), noise(2)), Task("mood", "span-qa"), "lie beside them"),
    ("peft", "roberta", SOFT, VerbalizerHead(((5,), (6,))), SORT, "no kind of task"),
    ("tgis", "gpt2", replace(KEYS, place="decoder"), GenerationHead(), SPEAK, "holds soft prompts"),
    ("tgis", "gpt2", SOFT, LinearHead(noise(2, H), torch.zeros(2), "last"), SORT, "only generates"),
    ("tgis", "bert", SOFT, READ, SORT, "only generates"),
    ("peft-mpt-pack", "gpt2", SOFT, LinearHead(noise(2, H), torch.zeros(2), "last"), SORT, "head of its own"),
]


@pytest.mark.parametrize(("to", "name", "form", "head", "task", "words"), REFUSED)
def test_a_version_that_would_answer_otherwise_there_is_not_exported(
    backbone_of: Callable[[str], Backbone], to: str, name: str, form: Form, head: Head, task: Task, words: str
) -> None:
    backbone = backbone_of(name)
    with pytest.raises(Inexact, match=words):
        EXPORTERS[to].write(outgoing(backbone, own(backbone, form, head, task)))


@pytest.mark.parametrize("to", ["peft", "tgis"])
def test_a_shared_prompt_is_not_exported_as_a_tasks(backbone_of: Callable[[str], Backbone], to: str) -> None:
    backbone = backbone_of("gpt2")
    with pytest.raises(Inexact, match="is a shared prompt"):
        EXPORTERS[to].write(outgoing(backbone, own(backbone, SOFT, None, None, method="mpt")))


def test_several_need_one_shared_prompt_one_length_and_one_head(backbone_of: Callable[[str], Backbone]) -> None:
    backbone = backbone_of("gpt2")
    one = own(backbone, SOFT, GenerationHead(), SPEAK)
    with pytest.raises(Inexact, match="not made from one shared prompt"):
        EXPORTERS["peft"].write(outgoing(backbone, one, one))
    longer = own(backbone, replace(SOFT, embeddings=noise(7, H)), GenerationHead(), SPEAK)
    with pytest.raises(Inexact, match="one length, not of 6, 7"):
        EXPORTERS["peft-mpt-pack"].write(outgoing(backbone, one, longer))
    for to in ("tgis", "safetensors"):
        with pytest.raises(Inexact, match="one prompt, not 2"):
            EXPORTERS[to].write(outgoing(backbone, one, one))


def test_factors_that_no_longer_make_the_prompt_are_not_exported(backbone_of: Callable[[str], Backbone]) -> None:
    backbone = backbone_of("gpt2")
    shared = own(backbone, SOFT, None, None, method="mpt")
    factors = {"u": torch.ones(P, 1), "v": torch.ones(1, H)}
    same = replace(own(backbone, SOFT, GenerationHead(), SPEAK), factors=factors)
    files = EXPORTERS["peft"].write(outgoing(backbone, same, same, shared=shared)).files
    assert load(files["adapter_model.safetensors"])["prefix_task_rows"].shape == (2, 1, H)
    moved = replace(same, form=replace(SOFT, embeddings=noise(P, H) + 1))
    with pytest.raises(Inexact, match="no longer the product"):
        EXPORTERS["peft"].write(outgoing(backbone, same, moved, shared=shared))


def test_our_own_file_is_exported_as_it_is_and_is_no_bare_soft_prompt(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    artifact = own(backbone_of("gpt2"), SOFT, GenerationHead(), SPEAK)
    files = EXPORTERS["safetensors"].write(outgoing(backbone_of("gpt2"), artifact)).files
    assert files == {"mood.safetensors": artifact.to_bytes()}
    (tmp_path / "mood.safetensors").write_bytes(files["mood.safetensors"])
    with pytest.raises(Inexact, match="artifact of promptctl"):
        imported(tmp_path / "mood.safetensors", backbone_of("gpt2"))


def test_pefts_file_without_its_configuration_is_no_bare_soft_prompt(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "a", PROMPT, task_type="CAUSAL_LM")
    with pytest.raises(Inexact, match="how it is meant stands beside it"):
        imported(folder / "adapter_model.safetensors", backbone_of("gpt2"))


def test_the_numbers_of_packed_prompts_are_said(backbone_of: Callable[[str], Backbone]) -> None:
    backbone = backbone_of("gpt2")
    one = own(backbone, SOFT, GenerationHead(), SPEAK)
    two = replace(one, card=replace(one.card, name="title"))
    assert EXPORTERS["peft-mpt-pack"].write(outgoing(backbone, one, two)).notes == ("peft's task_ids: 0 mood, 1 title",)


def test_a_template_that_stays_behind_is_said(backbone_of: Callable[[str], Backbone]) -> None:
    backbone = backbone_of("gpt2")
    task = replace(SPEAK, text_prompt=TextPrompt(("{text} so",)))
    (note,) = EXPORTERS["peft"].write(outgoing(backbone, own(backbone, SOFT, GenerationHead(), task))).notes
    assert "not in these files" in note


@pytest.mark.parametrize("form", [SOFT, KEYS], ids=["soft prompt", "prefix"])
def test_a_long_text_leaves_room_for_the_positions_that_an_imported_prompt_takes(
    backbone_of: Callable[[str], Backbone], form: Form
) -> None:
    backbone = backbone_of("bert")  # 64 positions
    artifact = own(backbone, form, READ, SORT)
    (example,) = encode(backbone, SORT, Row("good " * 100), form)
    (logits,) = predict(backbone, [(artifact, example)])
    assert np.isfinite(logits).all()
