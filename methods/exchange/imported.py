"""What an importer finds in somebody else's files, and the artifact that is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..artifact import Artifact, Card
from ..beginnings.geometry import taken_apart
from ..errors import InvalidSetting
from ..forms import Form
from ..heads import Head, VerbalizerHead, new_head
from ..rows.task import LABELLED, Kind, Task
from ..runtime.backbone import Backbone
from ..stored import tensors
from .foreign import Source
from .naming import public_name


@dataclass(frozen=True)
class Wanted:
    """What the person who imports says about the prompt, because the files do not."""

    task: Task | None = None
    kind: Kind | None = None
    labels: tuple[str, ...] = ()
    task_id: int | None = None  # which of a file's several tasks


@dataclass(frozen=True)
class Imported:
    """One prompt as its file means it, before it has a name and a task."""

    form: Form
    method: str
    kind: Kind | None  # what its head answers; none where there is only a form
    head: Head | None = None
    labels: tuple[str, ...] = ()
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    task_id: int | None = None


@dataclass(frozen=True)
class Found:
    """Everything that a file holds, and what a person should know of it."""

    prompts: tuple[Imported, ...]
    base: str = ""  # what the file calls the model that it was trained on
    settings: Mapping[str, Any] = field(default_factory=dict)  # plain, without texts and paths
    shared: Form = None
    notes: tuple[str, ...] = ()


class Importer(Protocol):
    """One format of somebody else's."""

    name: ClassVar[str]

    def recognises(self, source: Source) -> bool:
        """Whether these look like its files; what is in them is not yet checked."""
        ...

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """What they hold for this backbone.

        Raises:
            UnreadableFile: they are damaged, or of other sizes than the backbone.
            Inexact: they hold something that cannot be kept exactly.
        """
        ...


def task_of(imported: Imported, name: str, wanted: Wanted) -> Task | None:
    """The task that an imported prompt answers: the one that was named, or one of the file's kind and labels.

    Raises:
        InvalidSetting: the kinds or the number of labels do not agree, or nobody has said the labels.
    """
    task = wanted.task
    worded = task is not None and task.text_prompt is not None and bool(task.text_prompt.verbalizer)
    if imported.kind is None and not worded:
        if task is not None or wanted.labels or wanted.kind:
            raise InvalidSetting(
                "the file holds a prompt without a head, so it answers no task",
                hint="leave out --task, --kind and --labels, or name a task with a verbalizer",
            )
        return None
    if task is None:
        kind = _kind(imported.kind, wanted.kind)
        task = Task(name, kind, _labels(imported, wanted) if kind in LABELLED else ())
    elif not worded:
        _kind(imported.kind, task.kind)
    if imported.head is not None and task.kind in LABELLED:
        own = len(tensors(imported.head)["weight"])
        if own != len(task.labels):
            raise InvalidSetting(f"the file's head tells {own} labels apart; task {task.name!r} has {len(task.labels)}")
    return task


def card_of(
    imported: Imported, found: Found, format_name: str, name: str, task: Task | None, backbone: Backbone
) -> Card:
    """A card that says where the prompt comes from, without the paths of whoever made it."""
    sizes = {"length": max(len(rows) for _, rows in taken_apart(imported.form))}
    ranks = {"rank": int(imported.factors["u"].shape[1])} if "u" in imported.factors else {}
    task_id = {} if imported.task_id is None else {"task_id": imported.task_id}
    origin = {"format": format_name, "base": public_name(found.base), "settings": dict(found.settings)} | task_id
    return Card(name, task, imported.method, sizes | ranks, backbone.fingerprint, training={"imported": origin})


def artifact_of(imported: Imported, card: Card, backbone: Backbone) -> Artifact:
    """The artifact; where the file has no head, a language model's needs none, and a form without a task has none.

    Raises:
        InvalidSetting: the form does not fit the backbone, or the task needs a head that is not there.
    """
    backbone.check_form(imported.form)
    head = imported.head
    if head is None and card.task is not None:
        head = new_head(card.task, backbone, torch.Generator())
        if not (isinstance(head, VerbalizerHead) or card.task.kind == "generation"):
            raise InvalidSetting(f"the file has no head for task {card.task.name!r}")
    return Artifact(card, imported.form, head, imported.factors)


def shared_of(found: Found, format_name: str, name: str, backbone: Backbone) -> Artifact | None:
    """The artifact of the prompt that all prompts of a file were made from."""
    if found.shared is None:
        return None
    first = replace(found.prompts[0], form=found.shared, factors={}, task_id=None)
    return Artifact(card_of(first, found, format_name, name, None, backbone), found.shared)


def _kind(found: Kind | None, said: Kind | None) -> Kind:
    if found is None or said is None or said == found or (found, said) == ("classification", "pair"):
        return said or found or "generation"
    raise InvalidSetting(f"the file holds a prompt for a {found} task, not for {said}")


def _labels(imported: Imported, wanted: Wanted) -> tuple[str, ...]:
    labels = wanted.labels or imported.labels
    if not labels:
        raise InvalidSetting("the file does not name its labels", hint="give --labels a,b in its order, or --task TASK")
    if len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise InvalidSetting(f"of {len(labels)} labels one is empty or there twice")
    return labels
