"""Files as other libraries write them, on the tiny BERT, and how they are brought in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from methods import (
    Artifact,
    Backbone,
)
from methods.exchange import (
    Found,
    Source,
    Wanted,
    artifact_of,
    card_of,
    recognised,
    task_of,
)

P, L, N, D, H, C = 6, 3, 4, 10, 40, 5  # of the tiny BERT
W = L * 2 * N * D  # 240
LABELS = tuple("abcde")
Settings = Mapping[str, Any]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def found(path: Path, backbone: Backbone, **wanted: Any) -> tuple[str, Found]:
    source = Source.at(path, allow_pickle=True)
    importer = recognised(source)
    return importer.name, importer.read(source, backbone, Wanted(**wanted))


def imported(path: Path, backbone: Backbone, **wanted: Any) -> Artifact:
    name, read = found(path, backbone, **wanted)
    task = task_of(read.prompts[0], "named", Wanted(**wanted))
    return artifact_of(read.prompts[0], card_of(read.prompts[0], read, name, "named", task, backbone), backbone)


def saved(folder: Path, tensors: Mapping[str, Tensor], weights: str, **configs: object) -> Path:
    """A folder of tensors and JSON files."""
    folder.mkdir(exist_ok=True)
    whole = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / weights) if weights.endswith("safetensors") else torch.save(whole, folder / weights)
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return folder


def linear(name: str, outputs: int, inputs: int = H, seed: int = 1) -> dict[str, Tensor]:
    return {f"{name}.weight": noise(outputs, inputs, seed=seed), f"{name}.bias": noise(outputs, seed=seed + 1)}


def peft_config(**changes: Any) -> dict[str, Any]:
    common = {"peft_type": "PROMPT_TUNING", "task_type": "SEQ_CLS", "num_virtual_tokens": P, "token_dim": H}
    return common | {"num_layers": L, "num_attention_heads": N} | changes


def adapter(folder: Path, tensors: Mapping[str, Tensor], **changes: Any) -> Path:
    return saved(folder, tensors, "adapter_model.safetensors", adapter_config=peft_config(**changes))


CLASSIFIER = linear("base_model.classifier", C)
PROMPT = {"prompt_embeddings": noise(P, H)}
PREFIX = {"prompt_embeddings": noise(P, W)}
