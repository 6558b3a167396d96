"""The layers that transformers' model classes put on a backbone, as heads of ours, and the other way round.

What a class computes with its layers is not in its weights, so only classes are known here that have been compared
with theirs, by the backbone's `model_type`; a new one is one line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from .. import stored
from ..heads import ClassifierHead, Head, LinearHead, SpanHead, TagHead
from ..heads.classifier import Activation
from ..rows.task import Kind
from ..runtime.backbone import Backbone
from .errors import Inexact
from .foreign import shown
from .tensors import TensorFile

Layers: TypeAlias = Mapping[str, Tensor]  # by their names in XForSequenceClassification and its kin


@dataclass(frozen=True)
class Dense:
    """A dense layer, its activation, and the projection to the labels; read at the first position."""

    dense: str
    out: str
    activation: Activation


_POOLED = ("bert", "ernie", "megatron-bert")  # the backbone's own pooler, then one layer
_DENSE: Mapping[str, Dense] = {
    "roberta": Dense("classifier.dense", "classifier.out_proj", "tanh"),
    "xlm-roberta": Dense("classifier.dense", "classifier.out_proj", "tanh"),
    "camembert": Dense("classifier.dense", "classifier.out_proj", "tanh"),
    "mpnet": Dense("classifier.dense", "classifier.out_proj", "tanh"),
    "electra": Dense("classifier.dense", "classifier.out_proj", "gelu"),
    "distilbert": Dense("pre_classifier", "classifier", "relu"),
}
_TOKENS = (*_POOLED, *_DENSE, "albert", "deberta", "deberta-v2")  # encoders with one layer over every token
_NAMED_CLASSIFIER = ("gpt2", "gpt_neo", "gpt_neox", "bloom", "falcon", "mpt")  # decoders; the others say score


def head_of(kind: Kind, file: TensorFile, under: str, backbone: Backbone) -> Head:
    """The head made of the tensors whose names begin with `under`; all of them must belong to it.

    Raises:
        Inexact: how this backbone's class reads them is not known, or part of it was not saved.
        UnreadableFile: one is missing, or of another shape.
    """
    layers = _Layers(file, under, backbone.hidden_size)
    head = _head(kind, layers, backbone)
    if layers.left:
        raise Inexact(f"{file.name} holds {shown(min(layers.left))}, which is no part of a known {kind} head")
    return head


def layers_of(head: Head, backbone: Backbone) -> Layers:
    """The inverse of `head_of`.

    Raises:
        Inexact: transformers has no class that reads the backbone like this head.
    """
    model_type, decoder = backbone.model.config.model_type, backbone.architecture == "decoder"
    match head:
        case SpanHead(weight, bias):
            return {"qa_outputs.weight": weight, "qa_outputs.bias": bias}
        case TagHead(weight, bias):
            name = "score" if decoder and model_type not in _NAMED_CLASSIFIER else "classifier"
            return {f"{name}.weight": weight, f"{name}.bias": bias}
        case LinearHead(weight, bias, "last", False) if decoder and not bias.any():
            return {"score.weight": weight}
        case LinearHead(weight, bias, "opening", True) if model_type in _POOLED:
            return {"classifier.weight": weight, "classifier.bias": bias}
        case ClassifierHead(pooling="opening") if model_type in _DENSE:
            made = _DENSE[model_type]
            if made.activation == head.activation:
                dense = {f"{made.dense}.weight": head.dense_weight, f"{made.dense}.bias": head.dense_bias}
                return dense | {f"{made.out}.weight": head.weight, f"{made.out}.bias": head.bias}
    settings = ", ".join(f"{key} {value}" for key, value in stored.settings(head).items())
    raise Inexact(
        f"no class of transformers reads a {model_type} as a {head.name} head does ({settings or 'no setting'})"
    )


class _Layers:
    """Linear layers out of a file, one after the other, and what is left."""

    def __init__(self, file: TensorFile, under: str, width: int) -> None:
        self._file, self._under, self._width = file, under, width
        self.left = {name.removeprefix(under) for name in file.claims if name.startswith(under)}

    def linear(self, name: str, outputs: int | None = None) -> tuple[Tensor, Tensor]:
        """A layer's weight and bias; zeros for one without."""
        weight = self._file.take(f"{self._under}{name}.weight", outputs, self._width)
        bias = torch.zeros(len(weight))
        if f"{name}.bias" in self.left:
            bias = self._file.take(f"{self._under}{name}.bias", len(weight))
        self.left -= {f"{name}.weight", f"{name}.bias"}
        return weight, bias


def _head(kind: Kind, layers: _Layers, backbone: Backbone) -> Head:
    model_type = backbone.model.config.model_type
    encoder = backbone.architecture == "encoder"
    if backbone.architecture == "encoder-decoder" or (encoder and model_type not in _TOKENS):
        raise Inexact(f"how a {model_type} is made to do {kind} is not known exactly")
    match kind:
        case "span-qa":
            return SpanHead(*layers.linear("qa_outputs", 2))
        case "tagging":
            return TagHead(*layers.linear("score" if "score.weight" in layers.left else "classifier"))
        case _ if not encoder:
            return LinearHead(*layers.linear("score"), pooling="last")
    if model_type in _DENSE:
        made = _DENSE[model_type]
        dense = layers.linear(made.dense, backbone.hidden_size)
        return ClassifierHead(*dense, *layers.linear(made.out), activation=made.activation)
    if model_type not in _POOLED or getattr(backbone.model, "pooler", None) is None:
        raise Inexact(
            f"a classifier on {backbone.fingerprint.name} reads a pooler that is neither in the backbone's files nor"
            " in the prompt's",
            hint="give the backbone with the pooler that the prompt was trained on",
        )
    return LinearHead(*layers.linear("classifier"), pooling="opening", pooler=True)
