"""How far two artifacts are from each other, tensor by tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from .artifact import Artifact
from .beginnings.geometry import described
from .forms import Part, Prefix, PromptPool, SoftPrompt, parts
from .likeness import geometries
from .stored import settings, tensors


@dataclass(frozen=True)
class Distance:
    """From one tensor to another of its shape; a prefix has one distance in all and one per layer."""

    tensor: str
    layer: int | None
    l2: float
    relative: float | None  # to the length of the first; none where that is zero
    cosine: float | None  # none where either is zero


def distances(one: Artifact, other: Artifact) -> list[Distance]:
    """Every pair of tensors of one shape that differ: of prompts of one geometry, of heads, of factors."""
    found = []
    if _prompt(one) == _prompt(other):
        for ours, theirs in zip(parts(one.form), parts(other.form), strict=True):
            found += _of_parts(ours, theirs)
    another = _beside(other)
    for name, tensor in _beside(one).items():
        if name in another and tensor.shape == another[name].shape:
            found.append(_distance(name, None, tensor, another[name]))
    return [distance for distance in found if distance.l2 > 0]


def shapes(artifact: Artifact) -> dict[str, Any]:
    """What its prompt, its head and its factors are, without their numbers."""
    head = artifact.head
    own = {} if head is None else {"name": head.name} | settings(head) | _sizes(tensors(head))
    return {
        "prompt": _prompt(artifact),
        "head": own,
        "factors": _sizes(dict(sorted(artifact.factors.items()))),
    }


def _of_parts(one: Part, other: Part) -> Iterator[Distance]:
    match one, other:
        case Prefix(ours, layers, place), Prefix(theirs):
            yield _distance(f"{place} prefix", None, ours, theirs)
            for layer, own, their in zip(layers, ours, theirs, strict=True):
                yield _distance(f"{place} prefix", layer, own, their)
        case SoftPrompt(ours), SoftPrompt(theirs):
            yield _distance("soft prompt", None, ours, theirs)
        case PromptPool(), PromptPool():
            for name, tensor in tensors(one).items():
                yield _distance(f"pool {name}", None, tensor, tensors(other)[name])


def _prompt(artifact: Artifact) -> str:
    """Its geometry in words; prompts of the same words have tensors of the same shapes."""
    return " and ".join(map(_of_part, parts(artifact.form))) or described([])


def _of_part(part: Part) -> str:
    if not isinstance(part, PromptPool):
        return described(geometries(part))
    sizes = f"blocks of {', '.join(map(str, part.blocks))} components {list(part.components.shape)}"
    return f"a pool in {part.place} layers {', '.join(map(str, part.layers))}: {sizes}, top {part.top}"


def _distance(tensor: str, layer: int | None, one: Tensor, other: Tensor) -> Distance:
    ours, theirs = one.flatten().double(), other.flatten().double()
    l2, length = float((theirs - ours).norm()), float(ours.norm())
    cosine = float(functional.cosine_similarity(ours, theirs, dim=0)) if length and theirs.any() else None
    return Distance(tensor, layer, l2, l2 / length if length else None, cosine)


def _beside(artifact: Artifact) -> dict[str, Tensor]:
    """The tensors beside the prompt."""
    head = tensors(artifact.head) if artifact.head is not None else {}
    named = {f"head.{name}": tensor for name, tensor in head.items()}
    return named | {f"factors.{name}": artifact.factors[name] for name in sorted(artifact.factors)}


def _sizes(several: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in several.items()}
