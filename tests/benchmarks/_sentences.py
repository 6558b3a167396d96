"""Rows with the lengths of SST-2's training sentences: the file itself, or lengths drawn from its quantiles."""

import json
import os
from pathlib import Path

import torch

from methods import Backbone, Row, Task, encode
from methods.rows.encoding import Example

# words per row of the 6,909 sentences at 0 %, 10 %, ..., 100 %
DECILES = (2, 8, 11, 14, 16, 19, 21, 24, 27, 32, 52)
TASK = Task("sst2", "classification", ("negative", "positive"))


def sentences(backbone: Backbone, count: int) -> list[Example]:
    """Examples of real rows where SST2 names the file of them, else of as many words."""
    file = os.environ.get("SST2")
    if file:
        lines = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()[:count]]
        rows = [Row(line["text"], label=line["label"]) for line in lines]
    else:
        generator = torch.Generator().manual_seed(0)
        rows = [_drawn(generator) for _ in range(count)]
    return [encode(backbone, TASK, row)[0] for row in rows]


def _drawn(generator: torch.Generator) -> Row:
    at = float(torch.rand(1, generator=generator)) * 10
    low, high = DECILES[int(at)], DECILES[int(at) + 1]
    words = round(low + (at - int(at)) * (high - low))
    return Row("word " * max(1, words), label=TASK.labels[int(torch.randint(2, (1,), generator=generator))])
