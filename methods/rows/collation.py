"""Examples to one padded batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..runtime.backbone import Backbone
from ..types import Batch
from .encoding import Example


def collate(backbone: Backbone, examples: Sequence[Example]) -> Batch:
    """Pad to the longest sequence: a decoder's on the left, so that it goes on behind its text."""
    rows = [one for example in examples for one in example.sequences]
    longest = max(len(one.input_ids) for one in rows)
    front = [longest - len(one.input_ids) if backbone.architecture == "decoder" else 0 for one in rows]
    pad = backbone.tokenizer.pad_token_id or 0

    def padded(values: Sequence[Sequence[int]], fill: int) -> Tensor:
        lines = [[fill] * gap + list(line) for gap, line in zip(front, values, strict=True)]
        return torch.tensor([line + [fill] * (longest - len(line)) for line in lines])

    def columns(values: Sequence[int]) -> Tensor:
        """Columns of the batch; -1 stays -1."""
        return torch.tensor([value + gap if value >= 0 else value for value, gap in zip(values, front, strict=True)])

    def ragged(values: Sequence[Sequence[int]]) -> Tensor:
        most = max(map(len, values))
        return torch.tensor([[*line, *[0] * (most - len(line))] for line in values], dtype=torch.long)

    targets = [one.target_ids or [0] for one in rows]
    said = [[1] * len(one.target_ids) for one in rows]
    return Batch(
        input_ids=padded([one.input_ids for one in rows], pad),
        attention_mask=padded([[1] * len(one.input_ids) for one in rows], 0),
        token_type_ids=padded([one.token_type_ids for one in rows], 0),
        infix=columns([one.infix for one in rows]),
        slots=ragged([[slot + gap for slot in one.slots] for one, gap in zip(rows, front, strict=True)]),
        masked=columns([one.masked for one in rows]),
        answerable=padded([[int(span is not None) for span in one.offsets] for one in rows], 0).bool(),
        label=torch.tensor([one.label for one in rows]),
        start=columns([one.start for one in rows]),
        end=columns([one.end for one in rows]),
        tags=padded([one.tags for one in rows], -1),
        target_ids=ragged(targets),
        target_mask=ragged([line or [0] for line in said]),
        group=torch.tensor([index for index, example in enumerate(examples) for _ in example.sequences]),
    ).to(backbone.device)
