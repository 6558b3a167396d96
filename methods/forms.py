"""What is left of a prompt after training: soft prompts, prefixes, pools, a stack of them, or nothing."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from .stored import moved, tensors
from .types import Place, Placement


@dataclass(frozen=True)
class SoftPrompt:
    """Vectors among the input embeddings (Lester et al., 2021).

    Placement: `first` before everything, `after-first` after the tokens that open the input ([CLS], BOS), `infix`
    between two texts, `before-last` before the tokens that close it ([SEP], EOS), `template` where the task's
    template has its slots. `shifts` is peft's geometry: the text after a virtual token is one position further on.
    """

    embeddings: Tensor  # [P, E]
    placement: Placement = "after-first"
    shifts: bool = False


@dataclass(frozen=True)
class Prefix:
    """Keys and values before those of the text, in the named layers of one place (Li and Liang, 2021).

    `shifts` is peft's geometry: the text begins at position P.
    """

    key_values: Tensor  # [L, 2, N, P, D]
    layers: tuple[int, ...]
    place: Place = "encoder"
    shifts: bool = False


@dataclass(frozen=True)
class PromptPool:
    """Prefixes of which every row gets its own mixture, by its query: blocks of components, one block per session.

    With `top` 0 a row's prefix is the sum of all components, each weighted by the cosine of its key and the query seen
    through its attention (CODA-Prompt, Smith et al., 2023, section 4.1); with `top` k, the k components of the most
    similar keys stand one after the other (L2P, Wang et al., 2022). `runtime.pool` computes it.
    """

    keys: Tensor  # [L, M, H]
    attentions: Tensor  # [L, M, H]
    components: Tensor  # [L, 2, M, N, P, D]
    layers: tuple[int, ...]
    blocks: tuple[int, ...]  # components of each session, in order
    place: Place = "encoder"
    top: int = 0


Part: TypeAlias = SoftPrompt | Prefix | PromptPool


@dataclass(frozen=True)
class Stack:
    """Several prompts at once: prefixes of several places, or a task's prompt and a removable second one."""

    parts: tuple[Part, ...]


Form: TypeAlias = Part | Stack | None


def parts(form: Form) -> tuple[Part, ...]:
    """The single prompts of a form, in order."""
    match form:
        case Stack(several):
            return several
        case SoftPrompt() | Prefix() | PromptPool():
            return (form,)
        case None:
            return ()


def stack(several: tuple[Part, ...]) -> Form:
    """The inverse of `parts`."""
    return Stack(several) if len(several) > 1 else (several[0] if several else None)


def positions_taken(form: Form, place: Place) -> int:
    """How many positions of a text read at `place` a form takes, which a text of full length then lacks."""

    def taken(part: Part) -> int:
        match part:
            case SoftPrompt(embeddings, _, shifts):
                return len(embeddings) if shifts else 0
            case Prefix(key_values, _, at, shifts):
                return key_values.shape[3] if shifts and at == place else 0
            case PromptPool():
                return 0

    return sum(taken(part) for part in parts(form))


def on(device: torch.device, form: Form) -> Form:
    """The same form on a device."""
    return stack(tuple(moved(part, device) for part in parts(form)))


def detached(form: Form) -> Form:
    """The same form, cut from the graph and contiguous, so that it can be stored."""

    def cut(part: Part) -> Part:
        return replace(part, **{name: tensor.clone().contiguous() for name, tensor in tensors(part).items()})  # pyright: ignore[reportArgumentType] - the part's own tensors

    return stack(tuple(cut(part) for part in parts(form)))
