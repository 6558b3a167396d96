"""Free text: the language model says the answer token by token."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from ..runtime.backbone import Backbone
from ..types import Batch

LONGEST = 32  # tokens of an answer


@dataclass(frozen=True)
class GenerationHead:
    """Nothing but how long an answer may be."""

    name: ClassVar[str] = "generation"
    limit: int = LONGEST  # tokens

    def speaks(self, backbone: Backbone) -> bool:
        """It reads the logits of its target."""
        return True

    def logits(self, read: Tensor, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, U, V]."""
        return read

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice for each token of the target."""
        return logits, batch.target_mask.to(logits.dtype)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean cross-entropy of a row's target tokens [B]."""
        each = functional.cross_entropy(logits.transpose(1, 2), batch.target_ids, reduction="none")
        return (each * batch.target_mask).sum(1) / batch.target_mask.sum(1).clamp(min=1)
