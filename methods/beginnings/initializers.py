"""How a prompt starts: from vectors of real words, from small noise, or from another prompt.

Lester et al. (2021), section 3.2, sample the 5,000 most common tokens without replacement; a vocabulary built by
frequency lists its words in about that order, so we take the first 5,000 whole words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..errors import InvalidSetting
from ..forms import Form, Prefix
from ..prompt import as_matrix
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .geometry import Geometry, PrefixGeometry, SoftGeometry, described, taken_apart

Init: TypeAlias = Literal["vocabulary", "random", "label-words", "text"]

COMMON = 5_000
MARKS = ("Ġ", "▁")  # what some tokenizers put before the first token of a word; WordPiece marks the others


@dataclass(frozen=True)
class Initializer:
    """The first rows of a prompt.

    `vocabulary` samples common words; `label-words` has a row for each label of the task, the mean over the tokens of
    its words, and common words behind them (section 3.2); `text` repeats or cuts a text; `random` is
    uniform(-0.5, 0.5) for a soft prompt (section 3.2) and N(0, 0.02) for a prefix, the start that transformers gives
    weights a checkpoint lacks, and so the one of P-tuning v2's authors (Liu et al., 2022). The rows of a word are its
    embedding, or the frozen backbone's own keys and values of it: Li and Liang (2021), section 7.4.
    """

    length: int
    init: Init = "vocabulary"
    text: str = ""

    def begin(
        self,
        backbone: Backbone,
        geometries: Sequence[Geometry],
        tasks: Sequence[Task],
        generator: torch.Generator,
        start: Form = None,
    ) -> list[tuple[Geometry, Tensor]]:
        """Rows [P, W] for each geometry of a prompt for these tasks, or those of `start`.

        Raises:
            InvalidSetting: a length or a text that gives no rows, or a start of other geometries or length.
        """
        if start is not None:
            return begun(start, [(geometry, self.length) for geometry in geometries])
        if self.length < 1:
            raise InvalidSetting(f"a prompt of length {self.length} is not possible; give 1 or more")
        if self.text and self.init != "text":
            raise InvalidSetting(f"init {self.init} reads no init_text", hint="--set init=text")
        return [(geometry, self._rows(backbone, geometry, tasks, generator)) for geometry in geometries]

    def _rows(
        self, backbone: Backbone, geometry: Geometry, tasks: Sequence[Task], generator: torch.Generator
    ) -> Tensor:
        if self.init == "random":
            return _noise(geometry, self.length, generator).to(backbone.device)
        words = self._words(backbone, tasks, generator)
        rows = _rows_of_tokens(backbone, geometry, [token for word in words for token in word])
        return torch.stack([own.mean(0) for own in rows.split([len(word) for word in words])])

    def _words(self, backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator) -> list[list[int]]:
        """The tokens that each row comes from."""
        if self.init == "text":
            tokens = _tokens(backbone, self.text)
            return [[tokens[index % len(tokens)]] for index in range(self.length)]
        labelled = tasks if self.init == "label-words" else ()
        words = [tokens for task in labelled for tokens in _label_words(backbone, task)]
        if len(words) > self.length:
            names = ", ".join(task.name for task in tasks)
            raise InvalidSetting(
                f"a prompt of length {self.length} has no room for the words of the {len(words)} labels of {names}",
                hint=f"--set length={len(words)} or more, or --set init=vocabulary",
            )
        if len(words) == self.length:
            return words
        return words + [[token] for token in common_words(backbone, self.length - len(words), generator)]


def common_words(backbone: Backbone, count: int, generator: torch.Generator) -> list[int]:
    """Ids [P] of words drawn without replacement from the most common ones."""
    special = set(backbone.tokenizer.all_special_ids)
    ordered = sorted(backbone.tokenizer.get_vocab().items(), key=lambda item: item[1])
    marked = any(token.startswith(MARKS) for token, _ in ordered)
    whole = [(token, index) for token, index in ordered if token.startswith(MARKS) or not marked]
    words = [index for token, index in whole if token.lstrip("Ġ▁").isalpha() and index not in special][:COMMON]
    if not 1 <= count <= len(words):
        raise InvalidSetting(f"a prompt of length {count} cannot start from {len(words)} words; give 1 to {len(words)}")
    return torch.tensor(words)[torch.randperm(len(words), generator=generator)[:count]].tolist()


def _label_words(backbone: Backbone, task: Task) -> list[list[int]]:
    """The tokens of each label's words: those of the verbalizer, or else the label itself."""
    verbalizer = task.text_prompt.verbalizer if task.text_prompt is not None else ()
    of_labels = verbalizer or [(label,) for label in task.labels]
    return [[token for word in words for token in _tokens(backbone, f" {word}")] for words in of_labels]


def _tokens(backbone: Backbone, text: str) -> list[int]:
    tokens = backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
    if not tokens:
        raise InvalidSetting(
            f"a prompt cannot start from {text!r}: the tokenizer leaves nothing of it", hint="--set init_text=WORDS"
        )
    return tokens


def _rows_of_tokens(backbone: Backbone, geometry: Geometry, tokens: Sequence[int]) -> Tensor:
    """What tokens [S] are where a prompt stands: [S, W]."""
    ids = torch.tensor(tokens, device=backbone.device)
    match geometry:
        case SoftGeometry():
            return backbone.embed(ids).detach()
        case PrefixGeometry(layers=layers, place=place):
            if len(tokens) > backbone.max_length:
                raise InvalidSetting(
                    f"a prefix cannot start from {len(tokens)} tokens; the backbone reads {backbone.max_length}",
                    hint="choose a smaller length, or --set init=random",
                )
            return as_matrix(Prefix(backbone.keys_and_values(ids, place)[list(layers)], layers, place))


def _noise(geometry: Geometry, length: int, generator: torch.Generator) -> Tensor:
    match geometry:
        case SoftGeometry(width):
            return torch.rand(length, width, generator=generator) - 0.5
        case PrefixGeometry():
            return 0.02 * torch.randn(length, geometry.width, generator=generator)


def begun(start: Form, needed: list[tuple[Geometry, int]]) -> list[tuple[Geometry, Tensor]]:
    """The rows of `start`, which goes on moving the text's positions where it did.

    Raises:
        InvalidSetting: naming what is given and what these settings need.
    """
    found = taken_apart(start)
    if [(replace(geometry, shifts=False), len(rows)) for geometry, rows in found] != needed:
        given = described([(geometry, len(rows)) for geometry, rows in found])
        raise InvalidSetting(
            f"the given prompt is {given}; these settings need {described(needed)}",
            hint="choose the method and the settings that the given prompt was trained with",
        )
    return [(geometry, rows.clone()) for geometry, rows in found]
