"""What a version's virtual tokens are near, and which other versions are like it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from methods import Artifact, Backbone, InvalidSetting
from methods.explanation import Explained, Rank, explained, ranks
from methods.likeness import geometries, similarities
from methods.runtime.pool import pools
from registry import IntegrityError, Registry, Version
from registry.references import PRODUCTION


@dataclass(frozen=True)
class Relative:
    """Another version and the cosine of its prompt with the explained one's."""

    reference: str
    relation: str
    cosine: float


@dataclass(frozen=True)
class Explanation:
    """Of one version; `similarity` [K][K] is of itself and then its relatives, each with each."""

    reference: str
    backbone: str
    parts: tuple[Explained, ...]
    ranks: tuple[Rank, ...]
    relatives: tuple[Relative, ...]
    similarity: tuple[tuple[float, ...], ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Whose rows and columns the similarity has."""
        return (self.reference, *(one.reference for one in self.relatives))


def explain(registry: Registry, reference: str, backbone: str | None, nearest: int) -> Explanation:
    """Explain a version on its backbone: the named one, else the one that its card names.

    Raises:
        RegistryError: nothing has that name, or its bytes are damaged.
        InvalidSetting: a version without virtual tokens.
        BackboneMismatch, BackboneNotFound: it was made for another backbone, or the backbone is not here.
    """
    version = registry.resolve(reference)
    artifact = Artifact.from_bytes(registry.fetch(version))
    if artifact.form is None:
        raise InvalidSetting(f"{version.reference} has no virtual tokens to explain, only words or a head")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = Backbone.load(backbone or artifact.card.backbone.name, device)
    artifact.check_backbone(loaded.fingerprint)
    relatives = [
        (version, relation, other)
        for version, relation in _relatives(registry, version)
        if (other := _comparable(registry, version, artifact)) is not None
    ]
    similarity = similarities([artifact.form, *(other.form for _, _, other in relatives)]).tolist()
    return Explanation(
        version.reference,
        loaded.fingerprint.name,
        tuple(explained(loaded, artifact.to(loaded.device).form, nearest)),
        tuple(ranks(artifact.factors)),
        tuple(
            Relative(one.reference, relation, cosine)
            for (one, relation, _), cosine in zip(relatives, similarity[0][1:], strict=True)
        ),
        tuple(map(tuple, similarity)),
    )


def _relatives(registry: Registry, version: Version) -> list[tuple[Version, str]]:
    """The shared prompt and who else comes from it; where nobody does, what every prompt has in production."""
    from_shared = [one for one in version.parents if one.role == "shared" or one.name.startswith("shared/")]
    shared = next((f"{one.name}:{one.number}" for one in from_shared), None)
    found = [(registry.resolve(shared), "shared prompt")] if shared else []
    family = list(_made_from(registry, shared or version.reference))
    relation = "of the same shared prompt" if shared else "made from it"
    siblings = [(one, relation) for one in family if one.id != version.id]
    known = {version.id, *(one.id for one, _ in found)}
    return found + (siblings or [(one, "of the same geometry") for one in _current(registry) if one.id not in known])


def _made_from(registry: Registry, shared: str) -> Iterator[Version]:
    """The versions whose shared prompt is this one."""
    for prompt in registry.prompts():
        for one in registry.versions(prompt.name):
            parents = [f"{parent.name}:{parent.number}" for parent in one.parents]
            if one.state == "READY" and shared in parents:
                yield one


def _current(registry: Registry) -> Iterator[Version]:
    """Of every prompt the version in production, else the newest."""
    for prompt in registry.prompts():
        number = prompt.aliases.get(PRODUCTION, prompt.latest)
        if number is not None:
            yield registry.resolve(f"{prompt.name}:{number}")


def _comparable(registry: Registry, version: Version, artifact: Artifact) -> Artifact | None:
    """The artifact of a version whose prompt has this one's backbone and geometry."""
    card = version.card.get("backbone")
    if not isinstance(card, dict) or card.get("weights") != artifact.card.backbone.weights:
        return None
    try:
        other = Artifact.from_bytes(registry.fetch(version))
    except IntegrityError:
        return None  # a version stands alone, whatever became of the bytes of its relatives
    if pools(other.form) or not other.card.backbone.same(artifact.card.backbone):
        return None
    return other if geometries(other.form) == geometries(artifact.form) else None
