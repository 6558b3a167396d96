"""Checkpoints of P-tuning v2's authors: Liu et al. (2022), "P-Tuning v2", github.com/THUDM/P-tuning-v2.

`prefix_encoder.embedding.weight` [P, W] holds the keys and values; with `prefix_encoder.trans` it is [P, H] and goes
through two linear layers with tanh between them, which are folded in. The layout and the positions are peft's. The
checkpoint also holds the whole backbone, so here the weights themselves are compared with ours.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..forms import Prefix
from ..heads import ClassifierHead, Head, LinearHead, SpanHead, TagHead
from ..prompt import as_prefix
from ..rows.task import Kind
from ..runtime.backbone import Backbone, Layout
from .errors import Inexact, UnreadableFile
from .foreign import Source, shown
from .imported import Found, Imported, Wanted
from .tensors import TensorFile

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"
PREFIX, PROJECTION = "prefix_encoder.embedding.weight", "prefix_encoder.trans"
_KINDS: dict[str, Kind] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span-qa",
}


class PTuningV2Importer:
    """A prefix with its head, out of a checkpoint of the whole model."""

    name: ClassVar[str] = "ptuning-v2"

    def recognises(self, source: Source) -> bool:
        """A file of tensors that holds the prefix encoder."""
        file = _weights(source)
        return file is not None and file.endswith((".safetensors", ".bin")) and PREFIX in source.tensors(file).claims

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """The prefix, folded, and the head of the class that the configuration names."""
        name = _weights(source)
        if name is None:
            raise UnreadableFile(f"there is no {' or '.join(WEIGHTS)} in {str(source.folder)!r}")
        file = source.tensors(name)
        config = source.json(CONFIG) if CONFIG in source.files else {}
        compared, pooler = _compare(file, backbone)
        kind = _kind(config, file, wanted)
        prompt = Imported(
            _prefix(file, backbone), "prefix-tuning", kind, _head(kind, file, pooler, backbone), _labels(config)
        )
        notes = (
            f"{compared} tensors of the base in the checkpoint equal those of {backbone.fingerprint}"
            if compared
            else f"the checkpoint lacks its base's weights; only sizes were compared with {backbone.fingerprint}"
        )
        return Found((prompt,), str(config.get("_name_or_path", "")), notes=(notes,))


def _weights(source: Source) -> str | None:
    return source.files[0] if len(source.files) == 1 else source.first(WEIGHTS)


def _prefix(file: TensorFile, backbone: Backbone) -> Prefix:
    layout = backbone.layout(backbone.place)
    width = layout.layers * 2 * layout.heads * layout.head_dim
    projected = any(name.startswith(f"{PROJECTION}.") for name in file.claims)
    matrix = file.take(PREFIX, None, backbone.hidden_size if projected else width)
    if projected:
        inner = functional.linear(matrix, *_linear(file, f"{PROJECTION}.0", None, backbone.hidden_size))
        matrix = functional.linear(torch.tanh(inner), *_linear(file, f"{PROJECTION}.2", width, inner.shape[1]))
    prefix = as_prefix(matrix, Layout(layout.layers, layout.heads, layout.head_dim), range(layout.layers))
    return Prefix(prefix.key_values.contiguous(), prefix.layers, backbone.place, shifts=True)


def _linear(file: TensorFile, name: str, outputs: int | None, inputs: int) -> tuple[Tensor, Tensor]:
    weight = file.take(f"{name}.weight", outputs, inputs)
    return weight, file.take(f"{name}.bias", len(weight))


def _compare(file: TensorFile, backbone: Backbone) -> tuple[int, str | None]:
    """Compare the checkpoint's own copy of the base: how many tensors are equal, and a pooler that ours has not."""
    own = backbone.model.state_dict()
    compared, pooler = 0, None
    for name in sorted(file.claims):
        start, _, inner = name.partition(".")
        if start in ("prefix_encoder", "classifier", "qa_outputs") or inner.endswith("position_ids"):
            continue
        if inner not in own and inner.startswith("pooler.dense."):
            pooler = f"{start}.pooler.dense"
            continue
        if inner not in own:
            raise Inexact(f"{file.name} holds {shown(name)}, which is no part of {backbone.fingerprint.name}")
        if not torch.equal(file.take(name, *own[inner].shape), own[inner].float().cpu()):
            raise UnreadableFile(
                f"{shown(name)} in the checkpoint is not that of {backbone.fingerprint}",
                hint="give the backbone that it was trained on: --backbone NAME|FOLDER",
            )
        compared += 1
    return compared, pooler


def _kind(config: dict[str, object], file: TensorFile, wanted: Wanted) -> Kind:
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    for ending, kind in _KINDS.items():
        if name.endswith(ending):
            return kind
    if name:
        raise Inexact(f"the checkpoint is a {shown(name)}, whose head is not known")
    if "qa_outputs.weight" in file.claims:
        return "span-qa"
    said = wanted.task.kind if wanted.task else wanted.kind
    if said in ("classification", "pair", "tagging"):
        return "tagging" if said == "tagging" else "classification"
    raise Inexact(f"there is no {CONFIG} beside the checkpoint", hint="say what it does: --kind classification|tagging")


def _head(kind: Kind, file: TensorFile, pooler: str | None, backbone: Backbone) -> Head:
    """Its classifiers read the pooler over [CLS]; where ours has none, the checkpoint's own goes into the head."""
    width = backbone.hidden_size
    if kind == "span-qa":
        return SpanHead(*_linear(file, "qa_outputs", 2, width))
    out = _linear(file, "classifier", None, width)
    if kind == "tagging":
        return TagHead(*out)
    if pooler is not None:
        return ClassifierHead(*_linear(file, pooler, width, width), *out, activation="tanh")
    if getattr(backbone.model, "pooler", None) is None:
        raise Inexact("the classifier reads a pooler that is neither in the backbone's files nor in the checkpoint")
    return LinearHead(*out, pooling="opening", pooler=True)


def _labels(config: dict[str, object]) -> tuple[str, ...]:
    """id2label, unless it only counts."""
    names = config.get("id2label")
    if not isinstance(names, dict) or sorted(names) != sorted(map(str, range(len(names)))):
        return ()
    labels = tuple(str(names[str(index)])[:200] for index in range(len(names)))
    return () if labels == tuple(f"LABEL_{index}" for index in range(len(labels))) else labels
