"""What is left of a prompt after training: a soft prompt, a prefix, or nothing; and how rows of a batch mix them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from .attention import LayerPrefix, PrefixRows
from .types import Placement


@dataclass(frozen=True)
class SoftPrompt:
    """Vectors among the input embeddings (Lester et al., 2021): before the text or right after its first token."""

    embeddings: Tensor  # [P, H]
    placement: Placement = "after-first"


@dataclass(frozen=True)
class Prefix:
    """Keys and values before those of the text, in the named layers (Li and Liang, 2021)."""

    key_values: Tensor  # [L, 2, N, P, D]
    layers: tuple[int, ...]


Form: TypeAlias = SoftPrompt | Prefix | None


@dataclass(frozen=True)
class SoftRows:
    """The soft prompts of a batch's rows, padded to one length."""

    embeddings: Tensor  # [B, P, H]
    mask: Tensor  # [B, P]
    at: Tensor  # [B], the text position that the prompt goes before


@dataclass(frozen=True)
class PromptRows:
    """Everything the prompts add to one batch."""

    soft: SoftRows | None
    prefix: PrefixRows


@dataclass(frozen=True)
class Bank:
    """K forms stacked and padded, so that each row of a batch can pick its own by index."""

    soft: SoftRows | None  # over the K forms
    key_values: Tensor | None  # [K, L, 2, N, P, D], zero where a form has no prefix
    mask: Tensor | None  # [K, L, P], true where it has one
    layers: tuple[int, ...]  # which layers the L are

    @classmethod
    def of(cls, forms: Sequence[Form]) -> "Bank":
        """Stack forms of any kinds, lengths and layers."""
        return cls(_stack_soft(forms), *_stack_prefix(forms))

    def rows(self, index: Tensor) -> PromptRows:
        """The prompts of a batch whose row b uses form index[b]."""
        soft = self.soft and SoftRows(self.soft.embeddings[index], self.soft.mask[index], self.soft.at[index])
        if self.key_values is None or self.mask is None:
            return PromptRows(soft, {})
        chosen, mask = self.key_values[index], self.mask[index]
        prefix = {n: LayerPrefix(chosen[:, i, 0], chosen[:, i, 1], mask[:, i]) for i, n in enumerate(self.layers)}
        return PromptRows(soft, prefix)


def _stack_soft(forms: Sequence[Form]) -> SoftRows | None:
    present = [form for form in forms if isinstance(form, SoftPrompt)]
    if not present:
        return None
    none = present[0].embeddings.new_zeros(0, present[0].embeddings.shape[1])
    tensors = [form.embeddings if isinstance(form, SoftPrompt) else none for form in forms]
    after = [isinstance(form, SoftPrompt) and form.placement == "after-first" for form in forms]
    return SoftRows(
        torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True),
        _lengths_mask([len(tensor) for tensor in tensors], none.device),
        torch.tensor(after, device=none.device).long(),
    )


def _stack_prefix(forms: Sequence[Form]) -> tuple[Tensor | None, Tensor | None, tuple[int, ...]]:
    present = {k: form for k, form in enumerate(forms) if isinstance(form, Prefix)}
    if not present:
        return None, None, ()
    first = next(iter(present.values()))
    _, _, heads, _, dim = first.key_values.shape
    layers = tuple(sorted({layer for form in present.values() for layer in form.layers}))
    longest = max(form.key_values.shape[3] for form in present.values())
    stacked = first.key_values.new_zeros(len(forms), len(layers), 2, heads, longest, dim)
    mask = torch.zeros(len(forms), len(layers), longest, dtype=torch.bool, device=stacked.device)
    for k, form in present.items():
        places = [layers.index(layer) for layer in form.layers]
        chosen = slice(None) if form.layers == layers else places
        stacked[k, chosen, :, :, : form.key_values.shape[3]] = form.key_values
        mask[k, chosen, : form.key_values.shape[3]] = True
    return stacked, mask, layers


def _lengths_mask(lengths: Sequence[int], device: torch.device) -> Tensor:
    """[K, max] with row k true on its first lengths[k] places."""
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
