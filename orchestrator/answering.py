"""A version out of the registry, ready to answer on the backbone that it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from methods import Artifact, Backbone, InvalidSetting, Task
from registry import Registry

Load = Callable[[str, str], Backbone]


@dataclass(frozen=True)
class Ready:
    """A version, its task, and the backbone that it fits."""

    reference: str
    artifact: Artifact
    task: Task
    backbone: Backbone


def ready(registry: Registry, reference: str, backbone: str | None, load: Load = Backbone.load) -> Ready:
    """Fetch a version and load its backbone, by name and device: the named one, else the one that its card names.

    Raises:
        RegistryError: nothing has that name, or its bytes are damaged.
        InvalidSetting: a shared prompt, which answers nothing.
        BackboneMismatch, BackboneNotFound: it was made for another backbone, or the backbone is not here.
    """
    version = registry.resolve(reference)
    artifact = Artifact.from_bytes(registry.fetch(version))
    if artifact.card.task is None or artifact.head is None:
        raise InvalidSetting(f"{version.reference} belongs to no task and reads no rows", hint="name a task's prompt")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load(backbone or artifact.card.backbone.name, device)
    artifact.check_backbone(loaded.fingerprint)
    return Ready(version.reference, artifact.to(loaded.device), artifact.card.task, loaded)
