"""Frozen prompts that a student learns from, one per task, and what they make of each training row.

A teacher never changes, so it reads a row once: its last hidden states are kept in memory (never on disk, and of each
task no more than its share), and its head reads them each time, which costs next to nothing. Rows beyond that, and rows
of heads that read a language model's logits (whose states depend on the target as well), are read anew each time, in
micro-batches of their own. Rows are kept in groups that depend on the data alone, so that a run that was stopped and
resumed sees the same numbers to the last bit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .forms import Form
from .heads import Head
from .rows.batches import micro_batches
from .rows.collation import collate
from .rows.encoding import Example
from .runtime.backbone import Backbone, States
from .runtime.bank import Bank
from .runtime.reading import Reading, read
from .types import Batch

BYTES = 2 << 30  # of states kept, over all tasks


class Teachers:
    """The form and the head of each task's teacher."""

    def __init__(
        self,
        backbone: Backbone,
        teachers: Sequence[tuple[Form, Head]],
        data: Sequence[Sequence[Example]],
        max_bytes: int = BYTES,
    ) -> None:
        self._backbone = backbone
        self._bank = Bank.of([form for form, _ in teachers])
        self._heads = [head for _, head in teachers]
        # by the identity of an example: its tokens' states [S, H], and those of its sequences' ends [n, 2, H]
        self._held: dict[int, tuple[Tensor, Tensor]] = {}
        self._data = data  # so that no other example comes to have the identity of one of these
        for task, examples in enumerate(data):
            if not self._heads[task].speaks(backbone):
                self._read_once(task, examples, max_bytes // len(data))

    def holds(self, example: Example) -> bool:
        """Whether this very example's states are kept."""
        return id(example) in self._held

    def read(self, examples: Sequence[Example], batch: Batch, owner: Tensor) -> list[Reading]:
        """What the teachers make of a batch of these examples, sequence b of the task owner[b]; without gradient."""
        known = self._known(examples, batch) if all(map(self.holds, examples)) else None
        with torch.no_grad():
            return list(read(self._backbone, batch, self._bank, owner, self._heads, known=known))

    @torch.no_grad()
    def _read_once(self, task: int, examples: Sequence[Example], room: int) -> None:
        for group in micro_batches([example.length for example in examples]):
            chosen = [examples[index] for index in group]
            batch = collate(self._backbone, chosen)
            room -= (int(batch.attention_mask.sum()) + 2 * len(batch.group)) * self._backbone.hidden_size * 4
            if room < 0:
                return
            owner = torch.full_like(batch.group, task)
            states = self._backbone.states(batch, self._bank.rows(owner))
            mask = batch.attention_mask.bool()
            for place, example in enumerate(chosen):
                own = batch.group == place
                ends = torch.stack([states.opening[own], states.closing[own]], dim=1)
                self._held[id(example)] = states.text[own][mask[own]], ends

    def _known(self, examples: Sequence[Example], batch: Batch) -> States:
        """The kept states, padded as the batch is."""
        held = [self._held[id(example)] for example in examples]
        ends = torch.cat([one for _, one in held])
        text = ends.new_zeros(*batch.input_ids.shape, ends.shape[2])
        text[batch.attention_mask.bool()] = torch.cat([tokens for tokens, _ in held])
        return States(text, ends[:, 0], ends[:, 1])
