"""What a backbone reads of a row, in words: special tokens as they are, the n-th virtual token as [Pn]."""

from itertools import groupby

import torch

from ..artifact import Artifact
from ..errors import InvalidSetting
from ..forms import Form
from ..rows.collation import collate
from ..rows.encoding import Example, encode
from ..rows.task import Row
from ..runtime.backbone import Backbone
from ..runtime.bank import Bank


def rendered(backbone: Backbone, artifact: Artifact, row: Row) -> list[str]:
    """One string per pattern, window or choice of a row; the prefix of a version stands in none of them.

    Raises:
        InvalidRow: the version's task cannot read the row.
        InvalidSetting: a shared prompt, which reads nothing.
    """
    task = artifact.card.task
    if task is None:
        raise InvalidSetting(f"{artifact.card.name!r} belongs to no task; only a task's own versions read rows")
    examples = [one for example in encode(backbone, task, row, artifact.form) for one in example.sequences]
    return [_spelled(backbone, artifact.form, example) for example in examples]


def _spelled(backbone: Backbone, form: Form, example: Example) -> str:
    prompts = Bank.of([form]).rows(torch.zeros(1, dtype=torch.long, device=backbone.device))
    sequence = backbone.sequence(collate(backbone, [example]), prompts)
    if sequence.back is None:
        return _words(backbone, example.input_ids)
    tokens = dict(zip(sequence.back[0].tolist(), example.input_ids, strict=True))
    parts, virtual = [], 0
    for is_text, group in groupby(range(sequence.mask.shape[1]), tokens.__contains__):
        columns = list(group)
        if is_text:
            parts.append(_words(backbone, [tokens[column] for column in columns]).strip(" "))
        else:
            parts.append("".join(f"[P{virtual + place}]" for place, _ in enumerate(columns, 1)))
            virtual += len(columns)
    return " ".join(parts)


def _words(backbone: Backbone, ids: list[int]) -> str:
    return backbone.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
