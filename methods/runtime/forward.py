"""How a sequence and its prompts go through a model: as a rectangle, or as a line without padding (`packing`)."""

import inspect
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..types import Architecture
from . import positions
from .attention import Below, Call, PrefixRows
from .bank import PromptRows
from .inputs import Sequence
from .packing import WORTH, Packing


class Forward:
    """The part of a model that reads the text, and what it wants to be given."""

    def __init__(self, reader: nn.Module, architecture: Architecture, first_position: int) -> None:
        self.accepts = set(inspect.signature(reader.forward).parameters)
        self.packs = False
        self._reader = reader
        self._first_position = first_position
        self._padded_left = architecture == "decoder"
        self._always = {"use_cache": False} if architecture == "decoder" else {}

    def run(
        self,
        sequence: Sequence,
        prompts: PromptRows | None,
        below: Below | None = None,
        watched: dict[int, Tensor] | None = None,
        **options: Any,
    ) -> Tensor:
        """The last hidden states [B, T, H] of a sequence; `watched` gets those below its layers, the model `options`.

        Where prompts make the bits differ from the bare backbone's anyway, padding is left out of the work.
        """
        prefix = prompts.prefix if prompts is not None else {}
        if self.packs and prompts is not None and (prompts.soft or prefix) and not options:
            packing = Packing.of(sequence.mask)
            if len(packing.tokens) < WORTH * sequence.mask.numel():
                line = self.line(sequence, packing, prefix, below, watched)
                if watched is not None:
                    watched.update({layer: packing.rows(states) for layer, states in watched.items()})
                return packing.rows(line)
        inputs = sequence.inputs | self._always
        if prefix or below is not None or watched:
            inputs["prompt_call"] = Call(prefix, below=below, watched=watched)
        place = nullcontext()
        if self._needs_positions(sequence):
            at = self._positions(sequence)[:, -next(iter(sequence.inputs.values())).shape[1] :]
            if "position_ids" in self.accepts:
                inputs["position_ids"] = at
            elif hasattr(self._reader, "embed_positions"):
                place = positions.given(at)
        with place:
            return self._reader(attention_mask=sequence.mask, **inputs | options).last_hidden_state

    def line(
        self,
        sequence: Sequence,
        packing: Packing,
        prefix: PrefixRows,
        below: Below | None = None,
        watched: dict[int, Tensor] | None = None,
    ) -> Tensor:
        """The last hidden states [1, M, H] of a sequence's tokens, without those that fill it up."""
        known = None if below is None else Below(below.layer, packing.line(below.states))
        inputs = {name: packing.line(value) for name, value in sequence.inputs.items()} | self._always
        inputs["position_ids"] = packing.line(self._positions(sequence))
        inputs["attention_mask"] = torch.ones_like(packing.tokens)[None]
        return self._reader(prompt_call=Call(prefix, packing, known, watched=watched), **inputs).last_hidden_state

    def survey(self) -> None:
        """Pack from now on, if a line of two texts gives their states: if only attention looks at neighbours."""
        if "position_ids" not in self.accepts:
            return
        ids, mask = torch.tensor([[3, 4, 3], [4, 3, 4]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
        sequence = Sequence({"input_ids": ids}, mask, mask, None, None)
        with torch.no_grad():
            line, rows = self.line(sequence, Packing.of(mask), {})[0], self.run(sequence, None)[mask.bool()]
        self.packs = torch.allclose(line, rows, atol=1e-4)

    def _positions(self, sequence: Sequence) -> Tensor:
        return positions.positions(sequence.counted, sequence.shift, self._first_position)

    def _needs_positions(self, sequence: Sequence) -> bool:
        padded_left = self._padded_left or not bool(sequence.mask[:, 0].all())
        return sequence.back is not None or sequence.shift is not None or padded_left
