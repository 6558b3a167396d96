"""What is left of a prompt after training: soft prompts, prefixes, a stack of them, or nothing."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

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


Part: TypeAlias = SoftPrompt | Prefix


@dataclass(frozen=True)
class Stack:
    """Several prompts at once: prefixes of several places, or a task's prompt and a removable second one."""

    parts: tuple[Part, ...]


Form: TypeAlias = SoftPrompt | Prefix | Stack | None


def parts(form: Form) -> tuple[Part, ...]:
    """The single prompts of a form, in order."""
    match form:
        case Stack(several):
            return several
        case SoftPrompt() | Prefix():
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

    return sum(taken(part) for part in parts(form))


def detached(form: Form) -> Form:
    """The same form, cut from the graph and contiguous, so that it can be stored."""

    def cut(part: Part) -> Part:
        match part:
            case SoftPrompt(embeddings):
                return replace(part, embeddings=embeddings.detach().clone().contiguous())
            case Prefix(key_values):
                return replace(part, key_values=key_values.detach().clone().contiguous())

    return stack(tuple(cut(part) for part in parts(form)))
