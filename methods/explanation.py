"""What a prompt's virtual tokens are near: the words of the vocabulary whose vectors point the same way.

Lester et al. (2021), section 7, read learned soft prompts by their nearest neighbours among the input embeddings, by
cosine. A prefix has no place there: its keys are put beside the keys that the frozen backbone's own layer makes of
every token of the vocabulary. Those come from a forward over that token alone, so they are as exact as that: a token
without neighbours, at the first position. Only the lowest layer that has the prefix is read, and only its keys.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .beginnings.geometry import described
from .errors import InvalidSetting
from .forms import Form, Part, Prefix, PromptPool, SoftPrompt, parts
from .likeness import geometries
from .runtime.backbone import Backbone
from .runtime.single_tokens import BATCH, keys_of_single_tokens


@dataclass(frozen=True)
class Neighbour:
    """A token of the vocabulary and its cosine with a virtual one."""

    token: str
    cosine: float


@dataclass(frozen=True)
class VirtualToken:
    """One position of a prompt, counted from 1, the length of its vector, and what is nearest to it."""

    index: int
    norm: float
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Explained:
    """A part of a prompt beside the vocabulary; `beside` says which vectors of it."""

    part: str
    beside: str
    vocabulary_norm: float  # the median
    tokens: tuple[VirtualToken, ...]


@dataclass(frozen=True)
class Rank:
    """How far the factors of one rank have gone, as root mean squares: the first from one, the others from zero."""

    rank: int  # from 1
    u: float
    v: float


def explained(backbone: Backbone, form: Form, count: int = 5) -> list[Explained]:
    """The `count` nearest tokens of every virtual token of every part.

    Raises:
        InvalidSetting: there is no virtual token, or the form does not fit the backbone.
    """
    backbone.check_form(form)
    if form is None:
        raise InvalidSetting("there are no virtual tokens to explain")
    with torch.no_grad():
        several = zip(parts(form), geometries(form), strict=True)
        return [_explained(backbone, part, described([geometry]), count) for part, geometry in several]


def ranks(factors: Mapping[str, Tensor]) -> list[Rank]:
    """How far each rank of factors u [P, R] and v [R, W] has gone; of other factors, or none, nothing."""
    if not {"u", "v"} <= factors.keys():
        return []
    return [
        Rank(place + 1, _away(u, 0.0 if place else 1.0), _away(v, 0.0 if place else 1.0))
        for place, (u, v) in enumerate(zip(factors["u"].T, factors["v"], strict=True))
    ]


def _explained(backbone: Backbone, part: Part, name: str, count: int) -> Explained:
    words = {index: token for token, index in backbone.tokenizer.get_vocab().items()}
    known = int(backbone.model.get_input_embeddings().num_embeddings)  # pyright: ignore[reportArgumentType] - a plain attribute
    ids = torch.tensor(sorted(index for index in words if index < known), device=backbone.device)
    vectors, beside, chunks = _beside(backbone, part, ids)
    unit, cosines, norms = functional.normalize(vectors), [], []
    for chunk in chunks:
        cosines.append(unit @ functional.normalize(chunk).T)
        norms.append(chunk.norm(dim=1))
    best = torch.cat(cosines, dim=1).topk(min(count, len(ids)), dim=1)
    nearest = [
        tuple(Neighbour(words[index], cosine) for index, cosine in zip(found, near, strict=True))
        for found, near in zip(ids[best.indices].tolist(), best.values.tolist(), strict=True)
    ]
    tokens = [
        VirtualToken(place, norm, near)
        for place, (norm, near) in enumerate(zip(vectors.norm(dim=1).tolist(), nearest, strict=True), 1)
    ]
    return Explained(name, beside, float(torch.cat(norms).median()), tuple(tokens))


def _beside(backbone: Backbone, part: Part, ids: Tensor) -> tuple[Tensor, str, Iterator[Tensor]]:
    """Vectors [P, W] of a part, what of the vocabulary they are put beside, and that, in batches [b, W]."""
    match part:
        case SoftPrompt(embeddings):
            return embeddings, "the input embeddings", (backbone.embed(some) for some in ids.split(BATCH))
        case Prefix(key_values, layers, place):
            layer = min(layers)
            keys = key_values[layers.index(layer), 0].transpose(0, 1).flatten(1)  # [N, P, D] -> [P, N * D]
            beside = f"the keys that {place} layer {layer} makes of each token by itself, at the first position"
            return keys, beside, keys_of_single_tokens(backbone, ids, place, layer)
        case PromptPool():
            raise InvalidSetting("a pool has no tokens of its own: each row's prefix depends on the row")


def _away(factor: Tensor, start: float) -> float:
    return float((factor - start).square().mean().sqrt())
