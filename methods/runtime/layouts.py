"""Which attention module of a model serves which layers, and the shape of their keys: found by running it once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..types import Architecture, Place
from .attention import Call, Layer

TEXT, TARGET = torch.tensor([[3, 4, 3]]), torch.tensor([[3, 4]])  # lengths that tell a module's place


@dataclass(frozen=True)
class Layout:
    """The attention layers of one place: how many, and the shape of their keys."""

    layers: int
    heads: int
    head_dim: int


def survey(run: Callable[[Tensor, Tensor, Call], object], architecture: Architecture) -> dict[Place, Layout]:
    """Mark every attention module with the layers it serves; `run` takes a text and a target [1, T]."""
    call = Call(visited=[])
    with torch.no_grad():
        run(TEXT, TARGET, call)
    sizes: dict[tuple[int, int], Place] = {(3, 3): "encoder", (2, 2): "decoder", (2, 3): "cross"}
    if architecture == "decoder":
        sizes = {(3, 3): "decoder"}
    found: dict[Place, list[Any]] = {}
    for module, tokens, keys in call.visited or []:
        place = sizes[tokens, keys]
        layers: tuple[Layer, ...] = (*vars(module).get("prompt_layers", ()), (place, len(found.get(place, []))))
        module.prompt_layers = layers  # pyright: ignore[reportArgumentType] - a plain attribute, not a submodule
        found.setdefault(place, []).append(module)
    call = Call(captured={})
    with torch.no_grad():
        run(TEXT, TARGET, call)
    shapes: dict[Place, torch.Size] = {place: key.shape for (place, _), (key, _) in (call.captured or {}).items()}
    return {place: Layout(len(found[place]), shape[1], shape[3]) for place, shape in shapes.items()}
