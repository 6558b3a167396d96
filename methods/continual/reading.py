"""What a version answers, and the features that a head reads, over many examples of which some things are known."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from ..forms import Form, on
from ..heads import Head, RidgeHead
from ..rows.batches import micro_batches
from ..rows.collation import collate
from ..rows.encoding import Example
from ..runtime.activations import Activations, first_changed
from ..runtime.backbone import Backbone, States
from ..runtime.bank import Bank
from ..runtime.reading import prompted, read
from ..stored import moved
from ..types import Batch
from .learned import Learned, Session
from .statistics import Statistics, check_enough


class Judge:
    """Test examples, kept with their queries and the states that no prompt of the method changes and no head reads."""

    def __init__(self, backbone: Backbone, data: Sequence[Sequence[Example]], first: Learned) -> None:
        self._backbone, self._data = backbone, data
        layer = min([first_changed(backbone, [first.form]), *getattr(first.head, "lower", ())])
        self._known = Activations(backbone, layer, data, asks=True)

    def accuracy(self, learned: Learned, session: int, of: Sequence[int]) -> float:
        """The share of right answers on a session's examples, whose label i is of[i] among all that are known."""
        right, rows = self.right(learned, session, of, range(len(of)))
        return right / rows

    def right(self, learned: Learned, session: int, of: Sequence[int], only: Collection[int]) -> tuple[int, int]:
        """How many answers are right, and of how many, on a session's examples with the labels `only`."""
        right, examples = 0, [one for one in self._data[session] if one.label in only]
        for places, logits in self._answers(learned, examples):
            truth = [of[examples[place].label] for place in places]
            right += int((logits.argmax(1) == torch.tensor(truth, device=logits.device)).sum())
        return right, len(examples)

    @torch.no_grad()
    def _answers(self, learned: Learned, examples: Sequence[Example]) -> Iterator[tuple[list[int], Tensor]]:
        form, head = learned.on(self._backbone.device)
        bank = Bank.of([form])
        for places in micro_batches([example.length for example in examples]):
            chosen = [examples[place] for place in places]
            batch = collate(self._backbone, chosen)
            held = all(map(self._known.holds, chosen))
            below = self._known.below(chosen, batch) if held else None
            query = self._known.queries(chosen) if held else None
            owner = torch.zeros(len(chosen), dtype=torch.long, device=self._backbone.device)
            (found,) = read(self._backbone, batch, bank, owner, [head], below, query=query)
            yield places, found.logits


@torch.no_grad()
def statistics(
    backbone: Backbone, form: Form, head: RidgeHead, session: Session, of: Sequence[int], labels: int
) -> Statistics:
    """The sums over a session's rows, as the head reads them through the form.

    Raises:
        InvalidRow: too few rows of a label.
    """
    examples = session.examples
    check_enough(session)
    form, head = on(backbone.device, form), moved(head, backbone.device)
    places = torch.tensor(of)

    def features() -> Iterator[tuple[Tensor, Tensor]]:
        for group in micro_batches([example.length for example in examples]):
            batch = collate(backbone, [examples[index] for index in group])
            yield head.features(seen(backbone, form, head, batch), batch), places[batch.label.cpu()]

    return Statistics.of(features(), labels, head.weight.shape[1])


def seen(backbone: Backbone, form: Form, head: Head, batch: Batch) -> States:
    """What a head reads of a batch through a form."""
    owner = torch.zeros(len(batch.input_ids), dtype=torch.long, device=backbone.device)
    prompts = prompted(backbone, batch, Bank.of([form]), owner) if form is not None else None
    return backbone.states(batch, prompts, lower=getattr(head, "lower", ()))
