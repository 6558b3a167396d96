"""Labels as words of the vocabulary, scored by the language model's own head: nothing of its own to learn.

A label's logit is the mean of its words' logits (Schick and Schütze, 2021, section 3.1; the mean of logits, not of
probabilities, as in the authors' code). An encoder reads them at the mask, a decoder after the last token, be it a
virtual one, an encoder-decoder at the first token that it would say.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InvalidSetting
from ..runtime.backbone import Backbone, States
from ..types import Batch


@dataclass(frozen=True)
class VerbalizerHead:
    """The token ids of every label's words."""

    name: ClassVar[str] = "verbalizer"
    words: tuple[tuple[int, ...], ...]  # C of at least one

    def speaks(self, backbone: Backbone) -> bool:
        """Of an encoder-decoder it reads what the decoder would say first."""
        return backbone.architecture == "encoder-decoder"

    def logits(self, read: States | Tensor, batch: Batch, backbone: Backbone) -> Tensor:
        """[B, C]."""
        if isinstance(read, Tensor):
            vocabulary = read[:, 0]
        else:
            rows = torch.arange(len(batch.masked), device=batch.masked.device)
            seen = read.closing if backbone.architecture == "decoder" else read.text[rows, batch.masked]
            vocabulary = backbone.vocabulary(seen[:, None])[:, 0]
        return torch.stack([vocabulary[:, list(ids)].mean(1) for ids in self.words], dim=1)

    def choices(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """One choice among the labels."""
        return logits[:, None], logits.new_ones(len(logits), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [B]."""
        return functional.cross_entropy(logits, batch.label, reduction="none")


def word_ids(backbone: Backbone, verbalizer: tuple[tuple[str, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The one token of each word, as it stands inside a sentence.

    Raises:
        InvalidSetting: a word that is several tokens, or unknown to the tokenizer.
    """
    return tuple(tuple(_single(backbone, word) for word in words) for words in verbalizer)


def _single(backbone: Backbone, word: str) -> int:
    for written in (f" {word}", word):
        ids = backbone.tokenizer(written, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] != backbone.tokenizer.unk_token_id:
            return ids[0]
    raise InvalidSetting(
        f"the verbalizer's word {word!r} is not one token of {backbone.fingerprint.name}",
        hint="choose another word for the label; promptctl never shortens one silently",
    )
