"""What no prompt can change is computed once: the states below the lowest layer that has a prompt, and rows' queries.

A prefix in the upper layers leaves the lower ones as they are, so their states for a row are kept in memory (never on
disk) and training goes on from there. They are computed in groups that depend on the data alone, so that a run that
was stopped and resumed sees the same numbers to the last bit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InvalidSetting
from ..forms import Form, Prefix, PromptPool, SoftPrompt, parts
from ..rows.batches import micro_batches
from ..rows.collation import collate
from ..rows.encoding import Example
from ..types import Batch
from .attention import Below, Call
from .backbone import Backbone
from .reading import queries
from .resumption import make_resumable

BYTES = 2 << 30  # of states kept; rows beyond are computed anew each time


class Activations:
    """The states of examples below a layer (none below layer 0), and, where pools are asked, their queries."""

    def __init__(
        self,
        backbone: Backbone,
        layer: int,
        data: Sequence[Sequence[Example]],
        max_bytes: int = BYTES,
        *,
        asks: bool = False,
    ) -> None:
        make_resumable(backbone)
        self.layer, self._asks = layer, asks
        self._held: dict[int, tuple[Tensor, Tensor]] = {}  # by the identity of an example, which lives with the data
        held = 0
        for examples in data:
            for group in micro_batches([example.length for example in examples]):
                chosen = [examples[index] for index in group]
                batch = collate(backbone, chosen)
                held += int(batch.attention_mask.sum()) * backbone.hidden_size * 4
                if held > max_bytes:
                    return
                states, query = self._known(backbone, batch)
                rows = [one[mask.bool()] for one, mask in zip(states, batch.attention_mask, strict=True)]
                for place, example in enumerate(chosen):
                    own = [row for row, owner in enumerate(batch.group.tolist()) if owner == place]
                    self._held[id(example)] = torch.cat([rows[row] for row in own]), query[own]

    def holds(self, example: Example) -> bool:
        """Whether what is known of this very example is kept."""
        return id(example) in self._held

    def below(self, examples: Sequence[Example], batch: Batch) -> Below | None:
        """The kept states of a batch's examples, padded as the batch is."""
        if not self.layer:
            return None
        first, _ = self._held[id(examples[0])]
        states = first.new_zeros(*batch.input_ids.shape, first.shape[1])
        states[batch.attention_mask.bool()] = torch.cat([self._held[id(example)][0] for example in examples])
        return Below(self.layer, states)

    def queries(self, examples: Sequence[Example]) -> Tensor | None:
        """The kept queries [B, H] of a batch's examples, where pools are asked."""
        return torch.cat([self._held[id(example)][1] for example in examples]) if self._asks else None

    def _known(self, backbone: Backbone, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch's states [B, T, H] below the layer, without width where there is none; and its queries [B, H]."""
        nothing = torch.zeros(*batch.input_ids.shape, 0, device=backbone.device)
        if self._asks:
            with torch.no_grad():
                states = backbone.states(batch, lower=[self.layer] if self.layer else [])
            return states.lower.get(self.layer, nothing), queries(backbone, batch, states)
        call = Call(keep=self.layer)
        with torch.no_grad():
            backbone.run(backbone.sequence(batch, None), None, prompt_call=call)
        if call.kept is None:
            raise InvalidSetting(f"{backbone.fingerprint.name} gives no access to the states between its layers")
        return call.kept, nothing[:, 0]


def lowest_layer(backbone: Backbone, forms: Sequence[Form]) -> int:
    """The lowest layer that any of the forms changes; the number of layers if none does.

    Raises:
        InvalidSetting: a form that changes the input, or a backbone whose layers cannot be entered half way.
    """
    lowest = first_changed(backbone, forms)
    if lowest == 0:
        raise InvalidSetting(
            "there is nothing to cache: the prompt changes the first layer or the input",
            hint="put the prefix into the upper layers: --set layers=last:3",
        )
    return lowest


def first_changed(backbone: Backbone, forms: Sequence[Form]) -> int:
    """The same; 0 where no state can be kept."""
    if backbone.architecture == "encoder-decoder":
        return 0
    layers = [backbone.layout(backbone.place).layers]
    for part in (part for form in forms for part in parts(form)):
        match part:
            case SoftPrompt():
                layers.append(0)
            case Prefix(layers=chosen) | PromptPool(layers=chosen):
                layers.append(min(chosen))
    return min(layers)
