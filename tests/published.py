"""Versions of a tiny backbone, published without training."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from methods import Artifact, Backbone, Card, LinearHead, SoftPrompt, Task
from methods.forms import Form, PromptPool
from registry import Parent, Registry, Version
from registry.canonical import digest_of

LABELS = ("negative", "positive")


def soft(value: float, length: int = 5) -> SoftPrompt:
    """A soft prompt [P, 40] for the tiny BERT, all of one value."""
    return SoftPrompt(torch.full((length, 40), value))


def pool(*blocks: int, value: float = 1.0) -> PromptPool:
    """A pool [1, M, 40] in layer 1 of the tiny BERT, all of one value."""
    keys = torch.full((1, sum(blocks), 40), value)
    return PromptPool(keys, keys.clone(), torch.full((1, 2, sum(blocks), 4, 2, 10), value), (1,), blocks)


def published(
    registry: Registry,
    backbone: Backbone,
    name: str,
    form: Form,
    *,
    head: float = 0.0,
    labels: tuple[str, ...] = LABELS,
    parents: Sequence[Version] = (),
    factors: Mapping[str, Tensor] | None = None,
    **card: object,
) -> Version:
    """The next version of a prompt, made from `parents` as its shared prompts; a name shared/X has no task."""
    task = None if name.startswith("shared/") else Task(name, "classification", labels)
    own = LinearHead(torch.full((len(labels), 40), head), torch.zeros(len(labels))) if task else None
    plain = {"method": "prompt-tuning", "hyperparameters": {}} | card
    made = Card(name=name, task=task, backbone=backbone.fingerprint, **plain)  # pyright: ignore[reportArgumentType] - a test's own values
    blob = Artifact(made, form, own, factors or {}).to_bytes()
    return registry.publish(
        name,
        blob,
        made.to_json(),
        idempotency_key=digest_of(blob),
        actor="ada",
        parents=[Parent(one.id, "shared") for one in parents],
    )
