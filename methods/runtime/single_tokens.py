"""The keys that a layer makes of single tokens: each read by itself, and nothing run behind that layer."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..types import Place
from .attention import Call, Layer
from .backbone import Backbone

BATCH = 2048  # tokens that go through the backbone at a time


def keys_of_single_tokens(backbone: Backbone, ids: Tensor, place: Place, layer: int) -> Iterator[Tensor]:
    """Keys [b, N * D] of tokens ids [V] in batches: without neighbours, at the first position."""
    for some in ids[:, None].split(BATCH):
        target = {"decoder_input_ids": some} if backbone.architecture == "encoder-decoder" else {}
        call = Call(captured=_Wanted((place, layer)))
        try:
            backbone.model(input_ids=some, attention_mask=torch.ones_like(some), prompt_call=call, **target)
        except _Reached as reached:
            yield reached.keys.flatten(1)  # [b, N, 1, D]


class _Reached(Exception):
    """A forward that has gone as far as it must."""

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self.keys = keys


class _Wanted(dict[Layer, tuple[Tensor, Tensor]]):
    """Takes keys and values in, and ends the forward at those of one layer."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def __setitem__(self, at: Layer, found: tuple[Tensor, Tensor]) -> None:
        if at == self._layer:
            raise _Reached(found[0])
