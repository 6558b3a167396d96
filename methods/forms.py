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
    """Forms stacked and padded, so that each row of a batch can pick its own by index."""

    soft: SoftRows | None  # over the K forms
    prefix: PrefixRows  # over the K forms

    @classmethod
    def of(cls, forms: Sequence[Form]) -> "Bank":
        """Stack K forms of any kinds and lengths."""
        return cls(_stack_soft(forms), _stack_prefix(forms))

    def rows(self, index: Tensor) -> PromptRows:
        """The prompts of a batch whose row b uses form index[b]."""
        soft = self.soft and SoftRows(self.soft.embeddings[index], self.soft.mask[index], self.soft.at[index])
        prefix = {
            layer: LayerPrefix(kv.keys[index], kv.values[index], kv.mask[index]) for layer, kv in self.prefix.items()
        }
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


def _stack_prefix(forms: Sequence[Form]) -> PrefixRows:
    present = [form for form in forms if isinstance(form, Prefix)]
    return {layer: _stack_layer(forms, layer, present[0]) for layer in sorted({n for p in present for n in p.layers})}


def _stack_layer(forms: Sequence[Form], layer: int, like: Prefix) -> LayerPrefix:
    none = like.key_values.new_zeros(2, like.key_values.shape[2], 0, like.key_values.shape[4])
    tensors = [
        form.key_values[form.layers.index(layer)] if isinstance(form, Prefix) and layer in form.layers else none
        for form in forms
    ]  # K of [2, N, P, D]
    lengths = [tensor.shape[2] for tensor in tensors]
    longest = max(lengths)
    padded = torch.stack([torch.nn.functional.pad(t, (0, 0, 0, longest - t.shape[2])) for t in tensors])
    return LayerPrefix(padded[:, 0], padded[:, 1], _lengths_mask(lengths, none.device))


def _lengths_mask(lengths: Sequence[int], device: torch.device) -> Tensor:
    """[K, max] with row k true on its first lengths[k] places."""
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
