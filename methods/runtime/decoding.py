"""What a language model says after a text: the logits of a given target, or the tokens it would say itself."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ..types import Batch
from .attention import Call
from .backbone import Backbone, Sequence
from .bank import PromptRows
from .positions import given


@dataclass(frozen=True)
class Spoken:
    """What a language model says at each token of a target, given the text and the target's earlier tokens."""

    logits: Tensor  # [B, U, V]
    states: Tensor  # [B, U, H], the last ones of the model, under the logits


def spoken(backbone: Backbone, batch: Batch, prompts: PromptRows | None) -> Spoken:
    """The batch's targets, said by the model."""
    if backbone.architecture == "encoder-decoder":
        start = torch.full_like(batch.target_ids[:, :1], _start(backbone))
        tokens = torch.cat([start, batch.target_ids[:, :-1]], dim=1)
        said = _Speaker(backbone, batch, prompts).said(tokens, output_hidden_states=True)
        return Spoken(said.logits, said.decoder_hidden_states[-1])
    width = batch.target_ids.shape[1]
    continued = _Continued(backbone, batch, prompts)
    states = continued.states(batch.target_ids, batch.target_mask)[:, -width - 1 : -1]
    return Spoken(backbone.vocabulary(states), states)


@torch.no_grad()
def generate(
    backbone: Backbone, batch: Batch, prompts: PromptRows | None, limit: int, *, cache: bool = True
) -> list[list[int]]:
    """The most likely tokens of each row, one after the other: until its end token, which is left out, or the limit.

    Without a cache every token is computed from all those before it; the tokens are the same.
    """
    speaker = _Speaker if backbone.architecture == "encoder-decoder" else _Continued
    following = speaker(backbone, batch, prompts).following(cache)
    end = backbone.tokenizer.eos_token_id
    rows: list[list[int]] = [[] for _ in batch.input_ids]
    going = torch.ones(len(rows), dtype=torch.bool, device=backbone.device)
    said = batch.input_ids.new_zeros(len(rows), 0)
    for _ in range(limit):
        said = torch.cat([said, following(said).argmax(1, keepdim=True)], dim=1)
        going &= said[:, -1] != end
        if not going.any():
            break
        for row in going.nonzero().flatten().tolist():
            rows[row].append(int(said[row, -1]))
    return rows


Following = Callable[[Tensor], Tensor]  # the logits [B, V] after the tokens [B, u] said so far


class _Continued:
    """A decoder that goes on behind its text, which is padded on the left."""

    def __init__(self, backbone: Backbone, batch: Batch, prompts: PromptRows | None) -> None:
        self._backbone, self._prompts = backbone, prompts
        self._sequence = backbone.sequence(batch, prompts)

    def states(self, more: Tensor, mask: Tensor) -> Tensor:
        """Hidden states of the text and of tokens [B, u] behind it."""
        return self._backbone.run(self._longer(more, mask), self._prompts)

    def following(self, cache: bool) -> Following:
        past = DynamicCache(config=self._backbone.model.config)

        def logits(said: Tensor) -> Tensor:
            if not cache:
                states = self.states(said, torch.ones_like(said))
            else:
                longer = self._longer(said, torch.ones_like(said))
                new = {name: value[:, -1:] for name, value in longer.inputs.items()} if said.shape[1] else longer.inputs
                states = self._backbone.run(
                    replace(longer, inputs=new), self._prompts, past_key_values=past, use_cache=True
                )
            return self._backbone.vocabulary(states[:, -1:])[:, -1]

        return logits

    def _longer(self, more: Tensor, mask: Tensor) -> Sequence:
        """The sequence with tokens [B, u] at its end."""
        had = self._sequence
        (name, before), *_ = had.inputs.items()
        new = more if name == "input_ids" else self._backbone.embed(more)
        return Sequence(
            {name: torch.cat([before, new], dim=1)},
            torch.cat([had.mask, mask], dim=1),
            torch.cat([had.counted, mask], dim=1),
            had.shift,
            had.back,
        )


class _Speaker:
    """The decoder of an encoder-decoder, over states of the text that are computed once."""

    def __init__(self, backbone: Backbone, batch: Batch, prompts: PromptRows | None) -> None:
        self._backbone, self._prefix = backbone, prompts.prefix if prompts is not None else {}
        self._shift = prompts.shifts.get("decoder") if prompts is not None else None
        sequence = backbone.sequence(batch, prompts)
        self._encoded = BaseModelOutput(last_hidden_state=backbone.run(sequence, prompts))
        self._mask = sequence.mask

    def said(self, tokens: Tensor, **options: Any) -> Any:
        """The model's output after each of the decoder's tokens [B, U]."""
        lm = self._backbone.language_model()
        call = {"prompt_call": Call(self._prefix)} if self._prefix else {}
        with nullcontext() if self._shift is None else given(self._positions(tokens, options)):
            return lm(
                encoder_outputs=self._encoded, attention_mask=self._mask, decoder_input_ids=tokens, **call, **options
            )

    def _positions(self, tokens: Tensor, options: dict[str, Any]) -> Tensor:
        """[B, U] behind what is in the cache and behind a prefix that counts."""
        past = options["past_key_values"].get_seq_length() if "past_key_values" in options else 0
        columns = torch.arange(tokens.shape[1], device=tokens.device) + past
        return columns if self._shift is None else columns + self._shift[:, None]

    def following(self, cache: bool) -> Following:
        past = EncoderDecoderCache(DynamicCache(), DynamicCache()) if cache else None

        def logits(said: Tensor) -> Tensor:
            start = torch.full_like(said[:, :1] if said.shape[1] else self._mask[:, :1], _start(self._backbone))
            tokens = torch.cat([start.long(), said], dim=1)
            if past is None:
                return self.said(tokens, use_cache=False).logits[:, -1]
            return self.said(tokens[:, -1:], past_key_values=past, use_cache=True).logits[:, -1]

        return logits


def _start(backbone: Backbone) -> int:
    return int(backbone.model.config.decoder_start_token_id)
