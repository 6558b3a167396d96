"""What goes into a model and what comes out: sequences, their states, and how long a text may be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class States:
    """Hidden states of the text, and of the sequence's very first and last token, which may be virtual ones."""

    text: Tensor  # [B, T, H]
    opening: Tensor  # [B, H]
    closing: Tensor  # [B, H]
    lower: Mapping[int, Tensor] = field(default_factory=dict)  # the text's states [B, T, H] below the layers asked for

    def of(self, rows: Tensor | slice) -> "States":
        """Those of some rows."""
        lower = {layer: states[rows] for layer, states in self.lower.items()}
        return States(self.text[rows], self.opening[rows], self.closing[rows], lower)


@dataclass(frozen=True)
class Sequence:
    """Text with its virtual tokens among it, ready for the model."""

    inputs: dict[str, Any]
    mask: Tensor  # [B, P + T]
    counted: Tensor  # [B, P + T], which tokens have a position of their own
    shift: Tensor | None  # [B]
    back: Tensor | None  # [B, T], where each text token went


def last_column(mask: Tensor) -> Tensor:
    """[B], the column of each row's last real token."""
    return mask.shape[1] - 1 - mask.flip(1).argmax(1)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that open and close an input of one text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    special, ids = encoded["special_tokens_mask"], encoded["input_ids"]
    if 0 not in special:
        return [], []
    return ids[: special.index(0)], ids[len(ids) - special[::-1].index(0) :]


def first_position(model: PreTrainedModel) -> int:
    """RoBERTa and its kin count from behind their padding id."""
    embeddings = getattr(model, "embeddings", None)
    counts = hasattr(embeddings, "create_position_ids_from_inputs_embeds")
    return int(embeddings.padding_idx) + 1 if embeddings is not None and counts else 0


def max_length(config: Any, tokenizer: Any, first_position: int) -> int:
    table = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512
    return min(table - first_position, tokenizer.model_max_length)
