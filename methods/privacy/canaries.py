"""Canaries: nonsense put among the training rows, and how much easier than its like it is to say afterwards.

Carlini et al. (2019), "The Secret Sharer", section 4: exposure = log2 |R| - log2 rank, in bits, where R is what the
canary could have been and the rank is that of its loss. Here R is the canary and REFERENCES texts drawn as it was and
never trained on, each read with the canary's label, so that a label that is easy in itself gives nothing away. A
canary of which nothing was learned has any rank as likely as another: 1.44 bits in the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..forms import Form
from ..heads import Head
from ..rows.encoding import Example, encode
from ..rows.task import Row, Task
from ..runtime.backbone import Backbone
from .confidence import losses

REFERENCES = 511
WORDS = 8  # of a canary
MOST = 8  # canaries in one training
SHARE = 20  # of whose rows they are no more than one in so many
KINDS = ("classification", "pair")  # whose canaries have a label of the task's own

Examples = Sequence[Example]  # of one row


@dataclass(frozen=True)
class Canaries:
    """A task's canaries: as many as its rows bear, none of a kind without labels."""

    backbone: Backbone
    task: Task
    form: Form  # for which they are encoded
    words: Sequence[str]
    references: Sequence[Examples]
    count: int

    @classmethod
    def of(cls, backbone: Backbone, task: Task, form: Form, rows: int, generator: np.random.Generator) -> "Canaries":
        """For trainings on so many rows."""
        words = vocabulary(backbone)
        if task.kind not in KINDS:
            return cls(backbone, task, form, words, (), 0)
        drawn = nonsense(task, words, REFERENCES, generator)
        references = [encode(backbone, task, row, form) for row in drawn]
        return cls(backbone, task, form, words, references, min(MOST, max(1, rows // SHARE)))

    def some(self, generator: np.random.Generator) -> list[list[Example]]:
        """New ones [n]."""
        rows = nonsense(self.task, self.words, self.count, generator)
        return [encode(self.backbone, self.task, row, self.form) for row in rows]

    def exposure(self, form: Form, head: Head, planted: Sequence[Examples]) -> NDArray[np.float64]:
        """Bits [n] of canaries that a prompt and its head were trained on."""
        found = losses(self.backbone, form, head, planted)
        labels = [examples[0].label for examples in planted]
        known = {label: losses(self.backbone, form, head, self._labelled(label)) for label in set(labels)}
        return exposure(found, np.array([known[label] for label in labels]).reshape(len(labels), -1))

    def _labelled(self, label: int) -> list[list[Example]]:
        return [[replace(one, label=label) for one in examples] for examples in self.references]


def vocabulary(backbone: Backbone) -> list[str]:
    """Whole words of letters that the tokenizer knows, in the order of their ids."""
    tokens = sorted(backbone.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    words = dict.fromkeys(token.lstrip("Ġ▁") for token, _ in tokens)
    return [word for word in words if word.isascii() and word.isalpha()]


def nonsense(task: Task, words: Sequence[str], count: int, generator: np.random.Generator) -> list[Row]:
    """Rows of random words, each with a random label."""

    def text() -> str:
        return " ".join(words[int(place)] for place in generator.integers(len(words), size=WORDS))

    labels = generator.integers(len(task.labels), size=count) if count else ()
    return [Row(text(), text() if task.kind == "pair" else None, task.labels[label]) for label in labels]


def exposure(canaries: NDArray[np.float64], references: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits [n] of canaries' losses [n], each among its references [n, R - 1]; a tie counts as a worse rank."""
    rank = 1 + (references <= canaries[:, None]).sum(1)
    return np.log2(references.shape[1] + 1) - np.log2(rank)
