"""Publishing a prompt in words: the same words are the same version."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from methods import Artifact, Backbone, InvalidSetting
from methods.words.artifact import worded
from registry import Registry, Version
from registry.canonical import digest_of
from registry.errors import NotFound

from .errors import InvalidSpec
from .text_prompts import load, worded_task


@dataclass(frozen=True)
class Creation:
    """What a file makes of the registry; a dry run gives a new version no number."""

    prompt: str
    action: Literal["created", "unchanged"]
    version: str | None
    digest: str


def made(registry: Registry, file: Path, backbone: str) -> Artifact:
    """The artifact of a prompt's file, checked against the backbone.

    Raises:
        InvalidSetting: the backbone has no language-model head.
        InvalidSpec: naming the file and the field.
    """
    spec = load(file)
    task = worded_task(registry, spec, file)
    loaded = Backbone.load(backbone)
    loaded.language_model()
    try:
        return worded(loaded, spec.name, task, version("promptctl"))
    except InvalidSetting as error:
        raise InvalidSpec(f"{file}: {error}", hint=error.hint) from error


def publish(registry: Registry, artifact: Artifact, *, actor: str, dry_run: bool = False) -> Creation:
    """The next version of the prompt, unless its newest has the same bytes."""
    name, blob = artifact.card.name, artifact.to_bytes()
    newest, digest = _newest(registry, name), digest_of(blob)
    if newest is not None and newest.digest == digest:
        return Creation(name, "unchanged", newest.reference, digest)
    if dry_run:
        return Creation(name, "created", None, digest)
    key = f"words/{newest.number if newest else 0}/{digest}"  # words of an older version may come back
    published = registry.publish(name, blob, artifact.card.to_json(), idempotency_key=key, actor=actor)
    return Creation(name, "created", published.reference, digest)


def _newest(registry: Registry, name: str) -> Version | None:
    try:
        return next((version for version in registry.versions(name) if version.state == "READY"), None)
    except NotFound:
        return None
