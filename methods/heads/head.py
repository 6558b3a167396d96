"""What every head is: a frozen record of tensors and settings that reads a backbone for one task."""

from dataclasses import Field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from ..runtime.backbone import Backbone
from ..types import Batch


class Head(Protocol):
    """Logits from what the backbone made of a batch, and their loss."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def speaks(self, backbone: Backbone) -> bool:
        """Whether it reads the language model's logits of the target [B, U, V], not the states of the text."""
        ...

    def logits(self, read: Any, batch: Batch, backbone: Backbone) -> Tensor:
        """[rows, ...], from `States` or, where it speaks, from the logits [B, U, V] of the target."""
        ...

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same logits as X choices of a row, [rows, X, C], and which of them count [rows, X]."""
        ...

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """[rows], in nats."""
        ...
