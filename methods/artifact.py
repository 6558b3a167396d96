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
from .forms import Form, Part, Prefix, PromptPool, SoftPrompt, on, parts, stack
from .heads import HEADS, Head
from .rows.task import Task
from .runtime.fingerprint import Fingerprint
from .stored import moved, put_together, settings, tensors

FORMAT = 2
_FORMS: Mapping[str, type[Part]] = {"soft-prompt": SoftPrompt, "prefix": Prefix, "pool": PromptPool}
_NAMES = {kind: name for name, kind in _FORMS.items()}


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

    def to(self, device: torch.device) -> "Artifact":
        """What is served of it, on a device; the factors, which only say how it was made, are left out."""
        return Artifact(self.card, on(device, self.form), self.head and moved(self.head, device))

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
        shape = {
            "parts": [{"form": _NAMES[type(part)]} | settings(part) for part in parts(self.form)],
            "head": {"name": self.head.name} | settings(self.head) if self.head else None,
        }
        header = {"format": FORMAT, "shape": shape, "card": self.card.to_json()}
        text = json.dumps(header, sort_keys=True, separators=(",", ":"))
        return save({key: t.cpu().contiguous() for key, t in self._tensors().items()}, {"promptctl": text})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Artifact":
        """Read and check an artifact.

        Raises:
            CorruptArtifact: not an artifact, another format, a missing tensor, a shape or a number that cannot be.
        """
        try:
            tensors = load(data)
            header = json.loads(_metadata(data)["promptctl"])
            if header["format"] != FORMAT:
                raise CorruptArtifact(
                    f"the artifact has format {header['format']}; this promptctl reads format {FORMAT}",
                    hint="use the promptctl that wrote it, or train the task again",
                )
            found = tuple(_part(one, tensors, index) for index, one in enumerate(header["shape"]["parts"]))
            head = _head(header["shape"]["head"], tensors)
            card = Card.from_json(header["card"])
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CorruptArtifact):
                raise
            raise CorruptArtifact(f"{len(data)} bytes are not a promptctl artifact: {type(error).__name__}") from error
        for key, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise CorruptArtifact(f"tensor {key!r} of the artifact holds a number that is not finite")
        return cls(card, stack(found), head, _under("factors.", tensors))

    def _tensors(self) -> dict[str, Tensor]:
        found = {f"factors.{key}": tensor for key, tensor in self.factors.items()}
        for index, part in enumerate(parts(self.form)):
            found |= {f"prompt.{index}.{key}": tensor for key, tensor in tensors(part).items()}
        return found | {f"head.{key}": tensor for key, tensor in (tensors(self.head) if self.head else {}).items()}


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _under(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}


def _part(shape: Mapping[str, Any], tensors: Mapping[str, Tensor], index: int) -> Part:
    kind = _FORMS.get(shape["form"])
    if kind is None:
        raise CorruptArtifact(f"the artifact has the unknown form {shape['form']!r}", hint="upgrade promptctl")
    values = {key: value for key, value in shape.items() if key != "form"}
    part = put_together(kind, values, _under(f"prompt.{index}.", tensors))
    match part:
        case SoftPrompt(embeddings) if embeddings.dim() != 2:
            raise CorruptArtifact(f"a soft prompt of shape {tuple(embeddings.shape)} is not [P, E]")
        case Prefix(key_values, layers) if key_values.dim() != 5 or key_values.shape[:2] != (len(layers), 2):
            raise CorruptArtifact(
                f"a prefix of shape {tuple(key_values.shape)} in {len(layers)} layers is not [L, 2, N, P, D]"
            )
        case PromptPool(components=components) if components.dim() != 6 or components.shape[2] != sum(part.blocks):
            raise CorruptArtifact(f"a pool of shape {tuple(components.shape)} is not [L, 2, M, N, P, D]")
        case _:
            return part


def _head(shape: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> Head | None:
    if shape is None:
        return None
    if shape["name"] not in HEADS:
        raise CorruptArtifact(f"the artifact has the unknown head {shape['name']!r}", hint="upgrade promptctl")
    values = {key: value for key, value in shape.items() if key != "name"}
    return put_together(HEADS[shape["name"]], values, _under("head.", tensors))
