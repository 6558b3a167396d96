"""Heads: what reads the frozen backbone. A new one is a file, its import and its line in `HEADS`."""

from collections.abc import Mapping

import torch

from ..errors import InvalidSetting
from ..rows.task import Task
from ..runtime.backbone import Backbone
from .choice import ChoiceHead
from .classifier import ClassifierHead
from .generation import GenerationHead
from .head import Head
from .linear import LinearHead
from .reasoning import ReasoningHead
from .ridge import RidgeHead
from .sessions import SessionsHead
from .span import SpanHead
from .tags import TagHead
from .verbalizer import VerbalizerHead, word_ids

__all__ = [
    "HEADS",
    "ChoiceHead",
    "ClassifierHead",
    "GenerationHead",
    "Head",
    "LinearHead",
    "ReasoningHead",
    "RidgeHead",
    "SessionsHead",
    "SpanHead",
    "TagHead",
    "VerbalizerHead",
    "new_head",
]

HEADS: Mapping[str, type[Head]] = {
    head.name: head
    for head in (
        LinearHead,
        ClassifierHead,
        ChoiceHead,
        TagHead,
        SpanHead,
        VerbalizerHead,
        GenerationHead,
        ReasoningHead,
        SessionsHead,
        RidgeHead,
    )
}


def new_head(task: Task, backbone: Backbone, generator: torch.Generator) -> Head:
    """A head at the start of training: weights N(0, 0.02), bias 0; a verbalizer has none.

    Raises:
        InvalidSetting: the task needs a language-model head that the backbone lacks, or a word of several tokens.
    """

    def linear(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(size, backbone.hidden_size, generator=generator) * 0.02, torch.zeros(size)

    if task.text_prompt is not None and task.text_prompt.verbalizer:
        backbone.language_model()
        if backbone.architecture == "encoder" and not all("{mask}" in one for one in task.text_prompt.templates):
            raise InvalidSetting(f"task {task.name!r}: an encoder reads a verbalizer's words at {{mask}}; put it in")
        return VerbalizerHead(word_ids(backbone, task.text_prompt.verbalizer))
    match task.kind:
        case "classification" | "pair":
            return LinearHead(*linear(len(task.labels)), backbone.pooling)
        case "multiple-choice":
            return ChoiceHead(*linear(1), backbone.pooling)
        case "tagging":
            return TagHead(*linear(len(task.labels)))
        case "span-qa":
            return SpanHead(*linear(2))
        case "generation":
            if backbone.architecture == "encoder":
                raise InvalidSetting(
                    f"task {task.name!r}: {backbone.fingerprint.name} is an encoder and generates no text",
                    hint="give a decoder or an encoder-decoder: --backbone NAME|FOLDER",
                )
            backbone.language_model()
            return GenerationHead()
