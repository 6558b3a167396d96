"""Whether an artifact can run on a backbone at all, found out before a row meets it."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from methods import Backbone, Form, Head, InvalidSetting, LinearHead, Task, VerbalizerHead
from methods.heads import ClassifierHead, new_head
from methods.stored import tensors

from .errors import Integrity

ALIKE: Mapping[type[Head], tuple[type[Head], ...]] = {LinearHead: (LinearHead, ClassifierHead)}  # answer the same way


def check_fit(form: Form, head: Head, task: Task, backbone: Backbone) -> None:
    """Refuse a form or a head that the backbone cannot run, before a row meets it.

    Raises:
        Integrity: naming the sizes, or what the backbone lacks.
    """
    try:
        backbone.check_form(form)
        fits = _fits(head, task, backbone)
    except InvalidSetting as error:
        raise Integrity(str(error), hint=error.hint) from error
    if not fits:
        sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors(head).items())
        raise Integrity(f"its {head.name} head ({sizes}) is none of a {task.kind} task with {len(task.labels)} labels")


def _fits(head: Head, task: Task, backbone: Backbone) -> bool:
    if isinstance(head, VerbalizerHead):
        backbone.language_model()
        return len(head.words) == len(task.labels) > 0
    # without its words, because finding them takes the tokenizer, which belongs to another thread
    fresh = new_head(replace(task, text_prompt=None), backbone, torch.Generator())
    return isinstance(head, ALIKE.get(type(fresh), type(fresh))) and _shapes(fresh).items() <= _shapes(head).items()


def _shapes(head: Head) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors(head).items()}
