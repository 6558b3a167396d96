"""What peft's adapter_config.json says of exported tensors: their sizes, and what it said where they came from peft."""

from collections.abc import Mapping
from typing import Any

from ..artifact import Artifact
from ..forms import Prefix, parts
from ..runtime.backbone import Backbone
from .naming import public_name
from .outgoing import Outgoing, base_of, settings_of
from .peft import COLUMNS, PROMPT, ROWS
from .peft_config import (
    PEFT_VERSION,
    SAVED_LAYERS,
    CartridgeConfig,
    Config,
    MultitaskConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    PTuningConfig,
    TaskType,
)
from .transformers_heads import Layers


def described(tensors: Layers, outgoing: Outgoing, task_type: TaskType, backbone: Backbone) -> Config:
    """The configuration beside these tensors."""
    first = outgoing.artifacts[0]
    kind = _kind(first, tensors)
    kept = settings_of(first, "peft")
    layers = SAVED_LAYERS.get(task_type)
    sizes = _prefix if kind in (PrefixTuningConfig, CartridgeConfig) else _soft
    values = kept | sizes(tensors, kept, backbone)
    values |= {
        "task_type": task_type,
        "num_virtual_tokens": len(tensors[PROMPT]),
        "modules_to_save": layers and layers * (2 if outgoing.byte_compat else 1),
        "base_model_name_or_path": public_name(base_of(first)),
        "peft_version": PEFT_VERSION,
        "encoder_hidden_size": kept.get("encoder_hidden_size") or values["token_dim"],
    }
    known = kind.model_fields.keys() - {"peft_type"}
    return kind.model_validate({key: value for key, value in values.items() if key in known})


def _kind(artifact: Artifact, tensors: Layers) -> type[Config]:
    if COLUMNS in tensors:
        return MultitaskConfig
    if any(isinstance(part, Prefix) for part in parts(artifact.form)):
        return CartridgeConfig if artifact.card.method == "cartridge" else PrefixTuningConfig
    return PTuningConfig if artifact.card.method == "p-tuning" else PromptTuningConfig


def _soft(tensors: Layers, kept: Mapping[str, Any], backbone: Backbone) -> dict[str, Any]:
    config = backbone.model.config.get_text_config()
    sizes = {
        "token_dim": tensors[PROMPT].shape[1],
        "num_layers": kept.get("num_layers") or config.num_hidden_layers,
        "num_attention_heads": kept.get("num_attention_heads") or config.num_attention_heads,
        "num_transformer_submodules": 1,
    }
    return sizes | ({"num_tasks": len(tensors[ROWS]), "num_ranks": tensors[ROWS].shape[1]} if ROWS in tensors else {})


def _prefix(tensors: Layers, kept: Mapping[str, Any], backbone: Backbone) -> dict[str, Any]:
    del kept
    layout = backbone.layout("encoder" if backbone.architecture == "encoder" else "decoder")
    width = layout.heads * layout.head_dim
    return {
        "token_dim": width,
        "num_layers": tensors[PROMPT].shape[1] // (2 * width),
        "num_attention_heads": layout.heads,
        "num_transformer_submodules": 2 if backbone.architecture == "encoder-decoder" else 1,
    }
