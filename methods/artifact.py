"""The file that outlives training: one safetensors blob, its card in the header."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .errors import BackboneMismatch, CorruptArtifact
from .fingerprint import Fingerprint
from .forms import Form, Prefix, SoftPrompt
from .heads import Head, LinearHead, SpanHead
from .task import Task

FORMAT = 1


@dataclass(frozen=True)
class Card:
    """What a version says of itself; plain values only, and no text of any row."""

    name: str
    task: Task | None  # none for a shared prompt
    method: str
    hyperparameters: Mapping[str, object]
    backbone: Fingerprint
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    package_version: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values, ready for json.dumps."""
        plain = {key: value for key, value in vars(self).items() if key not in ("task", "backbone")}
        return plain | {"task": self.task and self.task.to_json(), "backbone": self.backbone.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Card":
        """The inverse of `to_json`."""
        task = value["task"]
        fields = {key: value[key] for key in cls.__dataclass_fields__}
        backbone = Fingerprint(**value["backbone"])
        return cls(**fields | {"task": task and Task.from_json(task), "backbone": backbone})


@dataclass(frozen=True)
class Artifact:
    """A form, its head and its card; `factors` are what made the form and are never served."""

    card: Card
    form: Form
    head: Head | None = None
    factors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of what is served: the form's tensor and the head's."""
        return sum(t.nbytes for key, t in self._tensors().items() if not key.startswith("factors."))

    def check_backbone(self, backbone: Fingerprint) -> None:
        """Refuse a backbone that this was not trained on.

        Raises:
            BackboneMismatch: naming both backbones and the parts that differ.
        """
        trained = self.card.backbone
        if not trained.same(backbone):
            parts = ", ".join(trained.differences(backbone))
            raise BackboneMismatch(
                f"prompt {self.card.name!r} was trained on {trained}; this backbone is {backbone}; {parts} differ",
                hint="load the backbone that the prompt was trained on, or train the task again on this one",
            )

    def to_bytes(self) -> bytes:
        """Equal artifacts give equal bytes."""
        shape: dict[str, object] = {}
        match self.form:
            case SoftPrompt(_, placement):
                shape = {"form": "soft-prompt", "placement": placement}
            case Prefix(_, layers):
                shape = {"form": "prefix", "layers": list(layers)}
            case None:
                shape = {"form": "none"}
        match self.head:
            case LinearHead(_, _, pooling):
                shape |= {"head": "linear", "pooling": pooling}
            case SpanHead():
                shape |= {"head": "span"}
            case None:
                shape |= {"head": "none"}
        header = {"format": FORMAT, "shape": shape, "card": self.card.to_json()}
        text = json.dumps(header, sort_keys=True, separators=(",", ":"))
        return save({key: t.cpu().contiguous() for key, t in self._tensors().items()}, {"promptctl": text})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Artifact":
        """Read and check an artifact.

        Raises:
            CorruptArtifact: not an artifact, a newer format, a missing tensor, or a number that is not finite.
        """
        try:
            tensors = load(data)
            header = json.loads(_metadata(data)["promptctl"])
            if header["format"] != FORMAT:
                raise CorruptArtifact(
                    f"the artifact has format {header['format']}; this promptctl reads format {FORMAT}",
                    hint="upgrade promptctl",
                )
            form, head = _form(header["shape"], tensors), _head(header["shape"], tensors)
            card = Card.from_json(header["card"])
        except (
            SafetensorError,
            KeyError,
            TypeError,
            AttributeError,
            UnicodeDecodeError,
            json.JSONDecodeError,
        ) as error:
            raise CorruptArtifact(f"{len(data)} bytes are not a promptctl artifact: {type(error).__name__}") from error
        for key, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise CorruptArtifact(f"tensor {key!r} of the artifact holds a number that is not finite")
        factors = {key.removeprefix("factors."): t for key, t in tensors.items() if key.startswith("factors.")}
        return cls(card, form, head, factors)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"factors.{key}": tensor for key, tensor in self.factors.items()}
        match self.form:
            case SoftPrompt(embeddings):
                tensors["prompt"] = embeddings
            case Prefix(key_values):
                tensors["prompt"] = key_values
            case None:
                pass
        if self.head is not None:
            tensors |= {"head.weight": self.head.weight.detach(), "head.bias": self.head.bias.detach()}
        return tensors


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _form(shape: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Form:
    match shape["form"]:
        case "soft-prompt":
            return SoftPrompt(tensors["prompt"], shape["placement"])
        case "prefix":
            return Prefix(tensors["prompt"], tuple(shape["layers"]))
        case "none":
            return None
        case other:
            raise CorruptArtifact(f"the artifact has the unknown form {other!r}", hint="upgrade promptctl")


def _head(shape: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Head | None:
    match shape["head"]:
        case "linear":
            return LinearHead(tensors["head.weight"], tensors["head.bias"], shape["pooling"])
        case "span":
            return SpanHead(tensors["head.weight"], tensors["head.bias"])
        case "none":
            return None
        case other:
            raise CorruptArtifact(f"the artifact has the unknown head {other!r}", hint="upgrade promptctl")
