"""A baseline's own copy of the backbone, trained for one task; the frozen one is never touched."""

import copy
from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import InvalidSetting
from ..forms import Form
from ..prompt import PromptModule
from ..rows.task import Task
from ..runtime.backbone import Backbone


class Adapted(PromptModule):
    """A copy of the backbone and those of its parameters that train; there is no prompt."""

    def __init__(self, copied: Backbone, trainables: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.trainables = nn.ParameterList(one.requires_grad_(True) for one in trainables)
        self._copied = [copied]  # in a list, so that what is frozen of it is neither a parameter nor in the state

    def forms(self) -> Sequence[Form]:
        """No prompt for the one task."""
        return [None]

    def adapted(self, backbone: Backbone) -> Backbone:
        """The copy, whatever it was copied from."""
        del backbone
        return self._copied[0]


def read_part(backbone: Backbone, task: Task) -> nn.Module:
    """The part of the model that answers depend on: to say words, all of it; else what reads the text."""
    if task.kind == "generation" or (task.text_prompt is not None and task.text_prompt.verbalizer):
        return backbone.language_model()
    return backbone.model.get_encoder() if backbone.architecture == "encoder-decoder" else backbone.model


def own_copy(backbone: Backbone, tasks: Sequence[Task], method: str) -> Backbone:
    """A frozen copy to adapt to one task, without a pooler: no head reads it.

    Raises:
        InvalidSetting: several tasks, which would have to share what is adapted.
    """
    if len(tasks) != 1:
        raise InvalidSetting(f"{method} trains one task at a time, not {len(tasks)}")
    copied = copy.deepcopy(backbone, {id(backbone.tokenizer): backbone.tokenizer})
    if getattr(copied.model, "pooler", None) is not None:
        copied.model.register_module("pooler", None)
    return copied
