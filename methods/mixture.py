"""Versions as one: the weighted mean of their prompts and, where all of them answer alike, of their heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from .artifact import Artifact
from .beginnings.geometry import described
from .beginnings.mixing import mixed, mixed_tensors
from .errors import InvalidSetting
from .forms import Form
from .heads import Head
from .likeness import geometries
from .rows.task import Task
from .stored import settings, tensors


@dataclass(frozen=True)
class Portion:
    """A version, what to call it in messages, and how much of it there is beside the others."""

    reference: str
    artifact: Artifact
    weight: float = 1.0


@dataclass(frozen=True)
class Mixture:
    """What a mix is made of; without a head it belongs to no task, and `apart` says why."""

    form: Form
    task: Task | None = None  # that of the first portion
    head: Head | None = None
    apart: str = ""
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # of shared prompts, where all have some


def mixture(portions: Sequence[Portion]) -> Mixture:
    """The weighted mean of versions, self-standing where kind, labels, wording and heads agree.

    Raises:
        InvalidSetting: versions without a prompt, of other backbones or geometries; weights that are no shares.
    """
    for portion in portions:
        _check_alike(portions[0], portion)
    weights = [one.weight for one in portions]
    form = mixed([one.artifact.form for one in portions], weights)
    apart = next((words for one in portions if (words := _apart(portions[0], one))), "")
    if apart:
        shared = all(one.artifact.card.task is None for one in portions)
        factors = mixed_tensors([one.artifact.factors for one in portions], weights) if shared else {}
        return Mixture(form, apart=apart, factors=factors)
    return Mixture(form, portions[0].artifact.card.task, _mean_head(portions))


def _check_alike(first: Portion, other: Portion) -> None:
    """Refuse what no mean can be taken of, by the names of both."""
    if other.artifact.form is None:
        raise InvalidSetting(f"{other.reference} has no prompt to mix, only words or a head")
    ours, theirs = first.artifact.card.backbone, other.artifact.card.backbone
    if not ours.same(theirs):
        raise InvalidSetting(
            f"{first.reference} was trained on {ours} and {other.reference} on {theirs};"
            f" {', '.join(ours.differences(theirs))} differ",
            hint="mix versions of one backbone",
        )
    one, another = geometries(first.artifact.form), geometries(other.artifact.form)
    if one != another:
        raise InvalidSetting(
            f"{first.reference} is {described(one)}; {other.reference} is {described(another)}",
            hint="mix versions of one method and its settings",
        )


def _apart(first: Portion, other: Portion) -> str:
    """Why the heads of two versions have no mean; nothing where they have one."""
    task, another = first.artifact.card.task, other.artifact.card.task
    if task is None or another is None:
        return f"{(first if task is None else other).reference} belongs to no task"
    if task.kind != another.kind:
        return f"{first.reference} answers {task.kind} rows and {other.reference} {another.kind} rows"
    if task.labels != another.labels:
        labels, others = ", ".join(task.labels), ", ".join(another.labels)
        return f"the labels of {first.reference} are {labels}; those of {other.reference} {others}"
    if task.text_prompt != another.text_prompt:
        return f"{first.reference} and {other.reference} word their rows differently"
    if _shape(first.artifact.head) != _shape(other.artifact.head):
        return f"{first.reference} and {other.reference} have heads of other kinds or shapes"
    return ""


def _shape(head: Head | None) -> Mapping[str, object]:
    """All that heads must agree in before their numbers are averaged."""
    if head is None:
        return {}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors(head).items()}
    return {"kind": head.name} | settings(head) | shapes


def _mean_head(portions: Sequence[Portion]) -> Head | None:
    heads = [one.artifact.head for one in portions if one.artifact.head is not None]
    if not heads:
        return None
    means = mixed_tensors([tensors(head) for head in heads], [one.weight for one in portions])
    return replace(heads[0], **means)  # pyright: ignore[reportArgumentType, reportCallIssue] - a dataclass
