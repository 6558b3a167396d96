"""What no prompt can change is computed once: the states below the lowest layer that has a prompt.

A prefix in the upper layers leaves the lower ones as they are, so their states for a row are kept in memory (never on
disk) and training goes on from there. They are computed in groups that depend on the data alone, so that a run that
was stopped and resumed sees the same numbers to the last bit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InvalidSetting
from ..forms import Form, Prefix, SoftPrompt, parts
from ..rows.batches import micro_batches
from ..rows.collation import collate
from ..rows.encoding import Example
from ..types import Batch
from .attention import Below, Call
from .backbone import Backbone
from .resumption import make_resumable

BYTES = 2 << 30  # of states kept; rows beyond are computed anew each time


class Activations:
    """The states of examples below a layer."""

    def __init__(
        self, backbone: Backbone, layer: int, data: Sequence[Sequence[Example]], max_bytes: int = BYTES
    ) -> None:
        make_resumable(backbone)
        self.layer = layer
        self._held: dict[int, Tensor] = {}  # by the identity of an example, which lives as long as the run's data
        held = 0
        for examples in data:
            for group in micro_batches([example.length for example in examples]):
                chosen = [examples[index] for index in group]
                batch = collate(backbone, chosen)
                held += int(batch.attention_mask.sum()) * backbone.hidden_size * 4
                if held > max_bytes:
                    return
                states = self._below(backbone, batch)
                rows = [one[mask.bool()] for one, mask in zip(states, batch.attention_mask, strict=True)]
                for place, example in enumerate(chosen):
                    of_example = [row for row, owner in zip(rows, batch.group.tolist(), strict=True) if owner == place]
                    self._held[id(example)] = torch.cat(of_example)

    def holds(self, example: Example) -> bool:
        """Whether this very example's states are kept."""
        return id(example) in self._held

    def below(self, examples: Sequence[Example], batch: Batch) -> Below:
        """The kept states of a batch's examples, padded as the batch is."""
        first = self._held[id(examples[0])]
        states = first.new_zeros(*batch.input_ids.shape, first.shape[1])
        states[batch.attention_mask.bool()] = torch.cat([self._held[id(example)] for example in examples])
        return Below(self.layer, states)

    def _below(self, backbone: Backbone, batch: Batch) -> Tensor:
        call = Call(keep=self.layer)
        with torch.no_grad():
            backbone.run(backbone.sequence(batch, None), None, prompt_call=call)
        if call.kept is None:
            raise InvalidSetting(f"{backbone.fingerprint.name} gives no access to the states between its layers")
        return call.kept


def lowest_layer(backbone: Backbone, forms: Sequence[Form]) -> int:
    """The lowest layer that any of the forms changes; the number of layers if none does.

    Raises:
        InvalidSetting: a form that changes the input, or a backbone whose layers cannot be entered half way.
    """
    layers = [backbone.layout(backbone.place).layers]
    for part in (part for form in forms for part in parts(form)):
        match part:
            case SoftPrompt():
                layers.append(0)
            case Prefix(_, chosen):
                layers.append(min(chosen))
    if backbone.architecture == "encoder-decoder" or min(layers) == 0:
        raise InvalidSetting(
            "there is nothing to cache: the prompt changes the first layer or the input",
            hint="put the prefix into the upper layers: --set layers=last:3",
        )
    return min(layers)
