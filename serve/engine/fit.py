"""Whether an artifact can run on a backbone at all, found out before a row meets it."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from methods import Backbone, Form, Head, InvalidSetting, LinearHead, Task, VerbalizerHead
from methods.heads import ClassifierHead, RidgeHead, SessionsHead, new_head
from methods.stored import tensors

from ..errors import Integrity

ALIKE: Mapping[type[Head], tuple[type[Head], ...]] = {LinearHead: (LinearHead, ClassifierHead)}  # answer the same way

LEARNED_ON = ("classification", "pair")  # kinds of task that are learned session by session


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
    if isinstance(head, SessionsHead):
        places = set(head.of) == set(range(len(task.labels))) and len(head.bias) == len(head.of)
        return task.kind in LEARNED_ON and places and head.weight.shape == (len(head.of), backbone.hidden_size)
    if isinstance(head, RidgeHead):
        return task.kind in LEARNED_ON and len(head.weight) == len(task.labels) and _reads(head, backbone)
    # without its words, because finding them takes the tokenizer, which belongs to another thread
    fresh = new_head(replace(task, text_prompt=None), backbone, torch.Generator())
    return isinstance(head, ALIKE.get(type(fresh), type(fresh))) and _shapes(fresh).items() <= _shapes(head).items()


def _reads(head: RidgeHead, backbone: Backbone) -> bool:
    """Whether the head's features are made of what the backbone gives."""
    size, random = backbone.hidden_size * (1 + len(head.lower)), head.weight.shape[1]
    layers = range(1, backbone.layout(backbone.place).layers)
    wide = head.projection.shape == (size, random) if head.projection.numel() else random == size + 1
    return wide and all(layer in layers for layer in head.lower)


def _shapes(head: Head) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors(head).items()}
