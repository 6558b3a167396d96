"""Rows of a language model that go on by themselves, a token each at every step; rows leave and join between steps.

Iteration-level scheduling: Yu et al. (2022), "Orca: A Distributed Serving System for Transformer-Based Generative
Models", section 3.1. All rows end in the same column, because those with fewer tokens are padded on the left; what a
row says depends on no other row.
"""

from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ..types import Batch
from .attention import Call
from .backbone import Backbone, Sequence
from .bank import PromptRows
from .positions import given
from .prefix_rows import joined, made, padded, picked


@dataclass
class Text:
    """What the decoder of an encoder-decoder looks at: states of texts, padded on the right."""

    states: Tensor  # [B, T, H]
    mask: Tensor  # [B, T]
    cache: DynamicCache  # the keys and values that the decoder makes of them

    def keep(self, rows: Tensor) -> None:
        """Those of rows [b]."""
        self.states, self.mask = self.states[rows], self.mask[rows]
        _change(self.cache, lambda states: states[rows])

    def join(self, other: "Text") -> None:
        """Those of both, one behind the other."""
        longest = max(self.mask.shape[1], other.mask.shape[1])
        for one in (self, other):
            gap = longest - one.mask.shape[1]
            one.states, one.mask = functional.pad(one.states, (0, 0, 0, gap)), functional.pad(one.mask, (0, gap))
            _change(one.cache, lambda states: padded(states, longest))
        self.states, self.mask = torch.cat([self.states, other.states]), torch.cat([self.mask, other.mask])
        _append(self.cache, other.cache)


class Going:
    """Rows of a decoder behind their texts, or the targets of an encoder-decoder; each has said its first token."""

    def __init__(self, backbone: Backbone, batch: Batch, prompts: PromptRows) -> None:
        self._backbone = backbone
        self._prefix = {at: one for at, one in made(prompts.prefix).items() if at[0] != "encoder"}
        self._cache = DynamicCache()
        sequence = backbone.sequence(batch, prompts)
        if backbone.architecture == "encoder-decoder":
            states = backbone.run(sequence, prompts)
            self._text: Text | None = Text(states, sequence.mask, DynamicCache())
            self._mask = self._counted = sequence.mask[:, :0]
            self._shift = prompts.shifts.get("decoder")
            start = int(backbone.model.config.decoder_start_token_id)
            self.said = torch.full_like(batch.input_ids[:, 0], start)  # [B], the token that each row said last
            self.step()
        else:
            self._text = None
            self._mask, self._counted, self._shift = sequence.mask, sequence.counted, sequence.shift
            self.said = self._behind(sequence)

    def __len__(self) -> int:
        return len(self.said)

    @property
    def columns(self) -> int:
        """How many tokens of each row are kept, padding among them."""
        return self._mask.shape[1] + (self._text.mask.shape[1] if self._text else 0)

    def step(self) -> None:
        """Let every row say one more token."""
        one = torch.ones_like(self.said[:, None])
        self._mask, self._counted = torch.cat([self._mask, one], 1), torch.cat([self._counted, one], 1)
        if self._text is not None:
            self.said = self._target(self._text)
        else:
            inputs = {"input_ids": self.said[:, None]}
            self.said = self._behind(Sequence(inputs, self._mask, self._counted, self._shift, None))

    def keep(self, rows: Several[int]) -> None:
        """Go on with these rows alone."""
        index = torch.tensor(rows, dtype=torch.long, device=self._mask.device)
        first = int(self._mask[index].any(0).long().argmax())
        self.said, self._prefix = self.said[index], picked(self._prefix, index)
        self._mask, self._counted = self._mask[index, first:], self._counted[index, first:]
        self._shift = None if self._shift is None else self._shift[index]
        _change(self._cache, lambda states: states[index, :, first:])
        if self._text is not None:
            self._text.keep(index)

    def joins(self, other: "Going") -> bool:
        """Whether these rows can go on with those; T5's decoder counts from a moving prefix by columns, not by rows."""
        return self._text is None or (self._shift is None and other._shift is None)

    def join(self, other: "Going") -> None:
        """Go on with the rows of both, the other's behind these."""
        longest = max(self._mask.shape[1], other._mask.shape[1])
        for one in (self, other):
            gap = longest - one._mask.shape[1]
            one._mask, one._counted = (functional.pad(mask, (gap, 0)) for mask in (one._mask, one._counted))
            _change(one._cache, lambda states, gap=gap: functional.pad(states, (0, 0, gap, 0)))
        self._prefix = joined(self._prefix, other._prefix, (len(self), len(other)))
        self._mask, self._counted = torch.cat([self._mask, other._mask]), torch.cat([self._counted, other._counted])
        if self._shift is not None or other._shift is not None:
            shifts = [one.said.new_zeros(len(one)) if one._shift is None else one._shift for one in (self, other)]
            self._shift = torch.cat(shifts)
        _append(self._cache, other._cache)
        if self._text is not None and other._text is not None:
            self._text.join(other._text)
        self.said = torch.cat([self.said, other.said])

    def _behind(self, sequence: Sequence) -> Tensor:
        """[B], what a decoder says behind a sequence."""
        prompts = PromptRows(None, self._prefix)
        states = self._backbone.run(sequence, prompts, past_key_values=self._cache, use_cache=True)
        return self._backbone.vocabulary(states[:, -1:])[:, -1].argmax(1)

    def _target(self, text: Text) -> Tensor:
        """[B], what the decoder of an encoder-decoder says behind its last token."""
        cache = EncoderDecoderCache(self._cache, text.cache)
        at = self._mask.sum(1, keepdim=True) - 1
        with given(at if self._shift is None else at + self._shift[:, None]):
            logits = self._backbone.language_model()(
                encoder_outputs=BaseModelOutput(last_hidden_state=text.states),  # pyright: ignore[reportArgumentType] - a tensor is what it holds
                attention_mask=text.mask,
                decoder_input_ids=self.said[:, None],
                decoder_attention_mask=self._mask,
                past_key_values=cache,
                use_cache=True,
                prompt_call=Call(self._prefix),
            ).logits
        return logits[:, -1].argmax(1)


def _change(cache: DynamicCache, change: Callable[[Tensor], Tensor]) -> None:
    for layer in _layers(cache):
        layer.keys, layer.values = change(layer.keys), change(layer.values)


def _append(cache: DynamicCache, other: DynamicCache) -> None:
    for layer, behind in zip(_layers(cache), _layers(other), strict=True):
        layer.keys, layer.values = torch.cat([layer.keys, behind.keys]), torch.cat([layer.values, behind.values])


def _layers(cache: DynamicCache) -> list[Any]:
    return cache.layers
