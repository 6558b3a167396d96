import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from methods import (
    Backbone,
    GenerationHead,
    InvalidSetting,
    Prefix,
    SoftPrompt,
    Stack,
    TagHead,
    Task,
    TextPrompt,
    VerbalizerHead,
)
from methods.exchange import (
    EXPORTERS,
    Inexact,
    Outgoing,
    UnreadableFile,
)
from methods.exchange.peft import layer_order
from methods.heads import ClassifierHead
from tests.foreign import (
    CLASSIFIER,
    LABELS,
    PREFIX,
    PROMPT,
    C,
    D,
    H,
    N,
    P,
    Settings,
    W,
    adapter,
    found,
    imported,
    linear,
    noise,
    saved,
)


def checkpoint(
    folder: Path, backbone: Backbone, more: Mapping[str, Tensor], architecture: str = "", **config: Any
) -> Path:
    base = {f"bert.{name}": tensor for name, tensor in backbone.model.state_dict().items()}
    configs = {"config": {"architectures": [architecture]} | config} if architecture else {}
    return saved(folder, base | dict(more), "pytorch_model.bin", **configs)


def test_a_p_tuning_v2_checkpoint_holds_the_prefix_that_peft_would_hold(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    backbone = backbone_of("bert")
    tensors = {"prefix_encoder.embedding.weight": PREFIX["prompt_embeddings"], **linear("classifier", C)}
    architecture = "BertPrefixForSequenceClassification"
    labels = {str(index): label for index, label in enumerate(LABELS)}
    one = imported(checkpoint(tmp_path / "one", backbone, tensors, architecture, id2label=labels), backbone)
    prefix = {"peft_type": "PREFIX_TUNING"}
    other = imported(adapter(tmp_path / "other", PREFIX | CLASSIFIER, **prefix), backbone, labels=LABELS)
    assert replace(one, card=other.card).to_bytes() == other.to_bytes()
    assert one.card.task == other.card.task == Task("named", "classification", LABELS)


def test_its_network_is_folded_in(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    backbone = backbone_of("bert")
    trans = linear("prefix_encoder.trans.0", 7) | linear("prefix_encoder.trans.2", W, 7, seed=3)
    tensors = {"prefix_encoder.embedding.weight": noise(P, H), **trans, **linear("classifier", C)}
    folder = checkpoint(tmp_path / "a", backbone, tensors, "BertPrefixForTokenClassification")
    artifact = imported(folder, backbone, labels=LABELS)
    assert isinstance(artifact.form, Prefix)
    assert isinstance(artifact.head, TagHead)
    hidden = torch.tanh(noise(P, H) @ trans["prefix_encoder.trans.0.weight"].T + trans["prefix_encoder.trans.0.bias"])
    rows = hidden @ trans["prefix_encoder.trans.2.weight"].T + trans["prefix_encoder.trans.2.bias"]
    layer, part, head, row, column = 2, 1, 3, 4, 9
    expected = rows[row, ((layer * 2 + part) * N + head) * D + column]
    torch.testing.assert_close(artifact.form.key_values[layer, part, head, row, column], expected)


def test_a_checkpoint_of_another_base_is_refused_by_its_weights(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    backbone = backbone_of("bert")
    name = "bert.encoder.layer.1.attention.self.key.weight"
    changed = backbone.model.state_dict()[name.removeprefix("bert.")].clone()
    changed[0, 0] += 1e-6
    tensors = {"prefix_encoder.embedding.weight": noise(P, W), **linear("classifier", C), name: changed}
    folder = checkpoint(tmp_path / "a", backbone, tensors, "BertPrefixForSequenceClassification")
    with pytest.raises(UnreadableFile, match=r"encoder\.layer\.1.*is not that of"):
        imported(folder, backbone, labels=LABELS)


def test_a_pooler_that_only_the_checkpoint_has_goes_into_the_head(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    backbone = backbone_of("roberta")  # its files have no pooler
    tensors = {
        "prefix_encoder.embedding.weight": noise(P, W),
        **linear("classifier", C),
        **linear("roberta.pooler.dense", H, seed=5),
    }
    artifact = imported(
        saved(tmp_path / "a", tensors, "model.safetensors"), backbone, kind="classification", labels=LABELS
    )
    assert isinstance(artifact.head, ClassifierHead)
    assert (artifact.head.activation, artifact.head.pooling) == ("tanh", "opening")
    assert torch.equal(artifact.head.dense_weight, tensors["roberta.pooler.dense.weight"])
    del tensors["roberta.pooler.dense.weight"], tensors["roberta.pooler.dense.bias"]
    with pytest.raises(Inexact, match="pooler"):
        imported(saved(tmp_path / "b", tensors, "model.safetensors"), backbone, kind="classification", labels=LABELS)


def hub(folder: Path, tensors: Mapping[str, Tensor], heads: Mapping[str, Tensor] | None = None, **changes: Any) -> Path:
    config = {"architecture": "prefix_tuning", "flat": True, "prefix_length": P} | changes.pop("config", {})
    outer = {"config": config, "model_name": "/home/ada/bert", "name": "mood"}
    saved(folder, tensors, "pytorch_adapter.bin", adapter_config=outer)
    if heads is not None:
        head = {"config": changes, "name": "mood"}
        saved(
            folder,
            {f"heads.mood.{name}": value for name, value in heads.items()},
            "model_head.safetensors",
            head_config=head,
        )
    return folder


KEY = "bert.prefix_tuning.prefix_tunings.mood.self_prefix"
HEAD = {"head_type": "classification", "num_labels": C, "layers": 2, "activation_function": "tanh"}


def test_a_flat_prefix_of_adapters_is_cut_as_its_code_cuts_it_and_moves_no_text(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    flat = torch.arange(P * W).float()
    heads = linear("1", H) | linear("4", C)
    labels = {label: index for index, label in enumerate(LABELS)}
    folder = hub(tmp_path / "a", {f"{KEY}.control_trans": flat}, heads, **HEAD, label2id=labels)
    artifact = imported(folder, backbone_of("bert"))
    assert isinstance(artifact.form, Prefix)
    assert (artifact.form.shifts, artifact.form.place, artifact.form.layers) == (False, "encoder", (0, 1, 2))
    # row 5, layer 1, values (1), head 2, dimension 7: 5 * 240 + ((1 * 2 + 1) * 4 + 2) * 10 + 7 = 1347
    assert artifact.form.key_values[1, 1, 2, 5, 7] == 1347
    assert isinstance(artifact.head, ClassifierHead)
    assert torch.equal(artifact.head.weight, heads["4.weight"])
    assert artifact.card.task == Task("named", "classification", LABELS)
    assert artifact.card.training["imported"] == {"format": "adapters", "base": "bert"} | {
        "settings": artifact.card.training["imported"]["settings"]  # pyright: ignore[reportIndexIssue] - a plain dict
    }


def test_a_prefix_of_adapters_goes_through_its_network(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    tensors = {f"{KEY}.wte.weight": noise(P, H)}
    tensors |= linear(f"{KEY}.control_trans.0", 7) | linear(f"{KEY}.control_trans.2", 160, 7, seed=3)
    config = {"flat": False, "bottleneck_size": 7, "non_linearity": "relu", "leave_out": [1]}
    artifact = imported(hub(tmp_path / "a", tensors, config=config), backbone_of("bert"))
    assert isinstance(artifact.form, Prefix)
    assert artifact.form.layers == (0, 2)
    assert (artifact.head, artifact.card.task) == (None, None)
    hidden = (noise(P, H) @ tensors[f"{KEY}.control_trans.0.weight"].T + tensors[f"{KEY}.control_trans.0.bias"]).relu()
    rows = hidden @ tensors[f"{KEY}.control_trans.2.weight"].T + tensors[f"{KEY}.control_trans.2.bias"]
    torch.testing.assert_close(artifact.form.key_values[1, 0, 3, 4, 9], rows[4, (1 * 2 * N + 3) * D + 9])


def test_an_encoder_decoder_of_adapters_has_a_prefix_in_each_place(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    pool = "model.prefix_tuning.prefix_tunings.mood"
    sizes = {"encoder_prefix": 3, "self_prefix": 2, "cross_prefix": 2}
    tensors = {f"{pool}.{place}.control_trans": noise(P * layers * 2 * N * D) for place, layers in sizes.items()}
    artifact = imported(hub(tmp_path / "a", tensors), backbone_of("bart"))
    assert isinstance(artifact.form, Stack)
    places = {part.place: len(part.layers) for part in artifact.form.parts if isinstance(part, Prefix)}
    assert places == {"encoder": 3, "decoder": 2, "cross": 2}
    assert isinstance(artifact.head, GenerationHead)


@pytest.mark.parametrize(("name", "file"), [("gpt2", "decoder.pt"), ("t5", "encoder.pt")])
def test_a_tgis_prompt_stands_before_the_text_and_goes_back_in_the_same_bytes(
    backbone_of: Callable[[str], Backbone], tmp_path: Path, name: str, file: str
) -> None:
    torch.save(noise(P, H), tmp_path / file)
    artifact = imported(tmp_path, backbone_of(name))
    assert isinstance(artifact.form, SoftPrompt)
    assert torch.equal(artifact.form.embeddings, noise(P, H))
    assert (artifact.form.placement, artifact.form.shifts) == ("first", True)
    assert artifact.card.task == Task("named", "generation")
    files = EXPORTERS["tgis"].write(Outgoing([artifact], lambda: backbone_of(name))).files
    assert files.keys() == {file}
    assert torch.equal(torch.load(io.BytesIO(files[file]), weights_only=True), noise(P, H))


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_a_bare_soft_prompt_of_an_encoder_belongs_to_no_task(
    backbone_of: Callable[[str], Backbone], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"prompt.{ending}"
    np.save(path, noise(P, H).numpy()) if ending == "npy" else save_file({"soft": noise(P, H)}, path)
    artifact = imported(path, backbone_of("bert"))
    assert (artifact.card.task, artifact.head) == (None, None)
    assert isinstance(imported(path, backbone_of("gpt2")).head, GenerationHead)
    worded = Task("mood", "classification", ("a", "b"), TextPrompt(("{text} {mask}",), (("bad",), ("good",))))
    assert isinstance(imported(path, backbone_of("roberta"), task=worded).head, VerbalizerHead)


REFUSED_PEFT: list[tuple[str, dict[str, Tensor], Settings, str]] = [
    ("bert", PROMPT | CLASSIFIER, {"peft_type": "LORA"}, "'LORA'"),
    ("bert", PROMPT | CLASSIFIER, {"new_field": 3}, "'new_field', unknown to peft"),
    ("bert", PROMPT | CLASSIFIER, {"modules_to_save": ["classifier", "pooler"]}, "own layer 'pooler'"),
    ("bert", PROMPT | linear("base_model.bert.pooler.dense", H), {}, "no tensor 'base_model.classifier.weight'"),
    ("bert", PROMPT | CLASSIFIER | linear("base_model.bert.pooler.dense", H), {}, "no part of a known"),
    ("bert", PROMPT | CLASSIFIER, {"task_type": "CAUSAL_LM"}, "is for decoder models"),
    ("gpt2", PROMPT, {"task_type": "SEQ_2_SEQ_LM"}, "is for encoder-decoder models"),
    ("bert", PROMPT | linear("base_model.qa_outputs", 2), {"task_type": "QUESTION_ANS"}, "beside the answers"),
    ("bert", PROMPT | CLASSIFIER, {"task_id": 0}, "not one per task"),
    ("bert", PREFIX | CLASSIFIER, {"peft_type": "PREFIX_TUNING", "num_layers": 4}, "has 3 encoder layers of 4 heads"),
    ("bert", PREFIX | CLASSIFIER, {"peft_type": "PREFIX_TUNING", "num_attention_heads": 2}, "4 heads of 10"),
    ("distilbert", PREFIX | CLASSIFIER, {"peft_type": "PREFIX_TUNING", "task_type": "TOKEN_CLS"}, "never reads"),
    ("modernbert", PROMPT | CLASSIFIER, {"task_type": "TOKEN_CLS"}, "not known exactly"),
    ("roberta", PROMPT | CLASSIFIER, {}, "no tensor 'base_model.classifier.dense.weight'"),
    ("bert-lm", PROMPT | CLASSIFIER, {}, "reads a pooler"),
]


@pytest.mark.parametrize(("name", "tensors", "changes", "words"), REFUSED_PEFT, ids=[one[3] for one in REFUSED_PEFT])
def test_what_cannot_be_kept_exactly_is_refused_with_the_reason(
    backbone_of: Callable[[str], Backbone],
    tmp_path: Path,
    name: str,
    tensors: dict[str, Tensor],
    changes: Settings,
    words: str,
) -> None:
    wanted = {"task_id": changes["task_id"]} if "task_id" in changes else {}
    changes = {key: value for key, value in changes.items() if key != "task_id"}
    backbone = backbone_of(name)
    with pytest.raises((Inexact, UnreadableFile), match=words):
        imported(adapter(tmp_path / "a", tensors, **changes), backbone, labels=LABELS, **wanted)


def factored(tasks: int, rank: int) -> dict[str, Tensor]:
    factors = {"prefix_task_cols": noise(tasks, P, rank, seed=1), "prefix_task_rows": noise(tasks, rank, H, seed=2)}
    return PROMPT | factors


MPT: Settings = {"peft_type": "MULTITASK_PROMPT_TUNING", "num_tasks": 3, "num_ranks": 2}


def test_one_task_of_several_can_be_chosen(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    backbone = backbone_of("gpt2")
    folder = adapter(tmp_path / "a", factored(3, 2), **MPT, task_type="CAUSAL_LM")
    _, every = found(folder, backbone)
    _, one = found(folder, backbone, task_id=1)
    assert [prompt.task_id for prompt in every.prompts] == [0, 1, 2]
    assert [prompt.task_id for prompt in one.prompts] == [1]
    chosen, same = one.prompts[0].form, every.prompts[1].form
    assert isinstance(chosen, SoftPrompt)
    assert isinstance(same, SoftPrompt)
    assert torch.equal(chosen.embeddings, same.embeddings)
    with pytest.raises(Inexact, match="tasks 0 to 2, not 3"):
        found(folder, backbone, task_id=3)


def test_a_second_prompt_for_the_decoder_is_refused(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", factored(3, 2), **MPT, task_type="SEQ_2_SEQ_LM")
    with pytest.raises(Inexact, match="generate leaves out"):
        found(folder, backbone_of("t5"))


def test_of_rows_for_two_submodules_the_first_half_is_kept_and_that_is_said(
    backbone_of: Callable[[str], Backbone], tmp_path: Path
) -> None:
    both = {"prompt_embeddings": noise(2 * P, H)}
    _, read = found(adapter(tmp_path / "a", both, task_type="SEQ_2_SEQ_LM"), backbone_of("t5"))
    assert isinstance(read.prompts[0].form, SoftPrompt)
    assert torch.equal(read.prompts[0].form.embeddings, both["prompt_embeddings"][:P])
    assert any("never uses" in note for note in read.notes)


def test_pefts_order_of_layers_in_an_encoder_decoder(backbone_of: Callable[[str], Backbone]) -> None:
    backbone = backbone_of("t5")  # 2 decoder layers
    # peft doubles K0 V0 K1 V1 K2 V2 and cuts it into fours: K0 V0 .., then K2 V2 ..: decoder layers 0, 1 get 0, 2
    assert layer_order(backbone, 3) == [0, 2]
    # K0 V0 K1 V1 | K0 V0 K1 V1: both layers get 0
    assert layer_order(backbone, 2) == [0, 0]
    assert layer_order(backbone, 1) is None
    assert layer_order(backbone_of("bert"), 3) == [0, 1, 2]
    assert layer_order(backbone_of("bert"), 4) is None


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "does not name its labels"),
        ({"labels": ("a", "b")}, "tells 5 labels apart"),
        ({"labels": ("a", "b", "b", "c", "d")}, "there twice"),
        ({"labels": LABELS, "kind": "tagging"}, "a classification task, not for tagging"),
        ({"task": Task("qa", "span-qa")}, "a classification task, not for span-qa"),
        ({"task": Task("mood", "classification", ("a", "b"))}, "tells 5 labels apart; task 'mood' has 2"),
    ],
)
def test_a_task_that_the_head_does_not_answer_is_refused(
    backbone_of: Callable[[str], Backbone], tmp_path: Path, wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSetting, match=words):
        imported(adapter(tmp_path / "a", PROMPT | CLASSIFIER), backbone_of("bert"), **wanted)


def test_a_classifier_may_answer_pairs(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", PROMPT | CLASSIFIER)
    artifact = imported(folder, backbone_of("bert"), kind="pair", labels=LABELS)
    assert artifact.card.task == Task("named", "pair", LABELS)


def test_a_prompt_without_a_head_answers_no_task(backbone_of: Callable[[str], Backbone], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", PROMPT, task_type="FEATURE_EXTRACTION")
    assert imported(folder, backbone_of("bert")).card.task is None
    with pytest.raises(InvalidSetting, match="without a head"):
        imported(folder, backbone_of("bert"), labels=LABELS)


@pytest.mark.parametrize(
    ("name", "tensors", "changes", "words"),
    [
        ("bert", {"a": noise(2)}, {"config": {"architecture": "lora"}}, "'lora'"),
        ("bert", {"a": noise(2)}, {"config": {"architecture": "prompt_tuning"}}, "'prompt_tuning'"),
        ("bert", {"a": noise(2)}, {"config": {"use_gating": True}}, "use_gating"),
        ("bert", {"a": noise(2)}, {"config": {"novelty": 1}}, "novelty"),
        ("bert", {"a": noise(2)}, {}, "no part of a prefix"),
        ("t5", {f"{KEY}.control_trans": noise(P * W)}, {}, "not known to be as here"),
        ("bert", {f"{KEY.replace('self', 'cross')}.control_trans": noise(P * W)}, {}, "has no place"),
        ("bert", {f"{KEY}.control_trans": noise(P * W - 1)}, {}, "has shape"),
        ("bert", {f"{KEY}.gate": noise(2)}, {}, "does not hold"),
    ],
)
def test_what_adapters_computes_otherwise_is_refused(
    backbone_of: Callable[[str], Backbone], tmp_path: Path, name: str, tensors: Any, changes: Any, words: str
) -> None:
    with pytest.raises((Inexact, UnreadableFile), match=words):
        imported(hub(tmp_path / "a", tensors, **changes), backbone_of(name))


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        ("bert", ["decoder.pt"], "is an encoder"),
        ("gpt2", ["encoder.pt"], "takes its prompt from decoder.pt"),
        ("t5", ["encoder.pt", "decoder.pt"], "prompt for the decoder too"),
    ],
)
def test_a_tgis_prompt_for_another_place_is_refused(
    backbone_of: Callable[[str], Backbone], tmp_path: Path, name: str, files: list[str], words: str
) -> None:
    for file in files:
        torch.save(noise(P, H), tmp_path / file)
    with pytest.raises(Inexact, match=words):
        imported(tmp_path, backbone_of(name))
