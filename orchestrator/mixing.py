"""Versions mixed by weight into a new one: what to mix, and what is published of it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from methods import Artifact, Card, Task
from methods.mixture import Mixture, Portion, mixture
from registry import Parent, Registry, Version
from registry.canonical import digest_of
from registry.references import check_name

from .errors import InvalidSpec
from .spending import mixed
from .start import pinned

SHARED = "shared/"
HEAVIEST = 1_000_000
HINT = "write REF:0.7 or REF*0.7; after a colon, a number without a point is a version's"
_ARGUMENT = re.compile(
    r"(?P<reference>[^*,\s]+?)(?:\*(?P<starred>[^*,\s]*)|:(?P<pointed>[+-]?(?:\d+\.\d*|\.\d+)))?", re.ASCII
)


@dataclass(frozen=True)
class Mixed:
    """What a mix publishes; a dry run gives a new version no number. `apart` says why it answers nothing."""

    reference: str
    task: str  # the kind of it
    mix: tuple[str, ...]  # the versions with their shares of the whole
    bytes: int
    digest: str
    apart: str


def mix(registry: Registry, arguments: Sequence[str], name: str | None, *, actor: str, dry_run: bool = False) -> Mixed:
    """Publish the weighted mean of versions; the same mix under the same name is the same version.

    Raises:
        InvalidSpec: a weight is none, a version comes twice, or several prompts' versions get no name.
        InvalidSetting: versions of other backbones or geometries.
        RegistryError: nothing has that name, or its bytes are damaged.
    """
    chosen = _chosen(registry, arguments)
    versions = [one for one, _ in chosen]
    called = _name(versions, name)
    portions = [Portion(one.reference, Artifact.from_bytes(registry.fetch(one)), weight) for one, weight in chosen]
    made = mixture(portions)
    if called.startswith(SHARED):
        made = Mixture(made.form, apart=made.apart or f"it is named {called}", factors=made.factors)
    artifact = _artifact(made, portions, called)
    _check_same_task(registry, artifact)
    blob = artifact.to_bytes()
    digest, reference = digest_of(blob), artifact.card.name
    if not dry_run:
        parents = [Parent(one.id, "init") for one in versions]
        card, key = artifact.card.to_json(), f"mix/{digest}"
        reference = registry.publish(reference, blob, card, idempotency_key=key, actor=actor, parents=parents).reference
    shares = tuple(f"{one}*{share:.4g}" for one, share in _shares(portions).items())
    return Mixed(reference, made.task.kind if made.task else "", shares, len(blob), digest, made.apart)


def _chosen(registry: Registry, arguments: Sequence[str]) -> list[tuple[Version, float]]:
    """The versions that arguments name, each with its weight; without weights all weigh the same."""
    read = [_read(argument) for argument in arguments]
    if len(read) < 2:
        raise InvalidSpec("a mix needs two versions or more", hint=HINT)
    if len({weight is None for _, weight in read}) > 1:
        raise InvalidSpec("some of the versions have no weight", hint="weigh each of them, or none")
    found = [
        (registry.resolve(pinned(registry, reference)), 1.0 if weight is None else weight) for reference, weight in read
    ]
    references = [one.reference for one, _ in found]
    twice = next((one for one in references if references.count(one) > 1), None)
    if twice is not None:
        raise InvalidSpec(f"{twice} comes twice", hint="add its weights up")
    return found


def _read(argument: str) -> tuple[str, float | None]:
    """A reference and its weight, where it has one."""
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        raise InvalidSpec(f"{argument!r} names no version", hint=HINT)
    written = match["starred"] if match["starred"] is not None else match["pointed"]
    if written is None:
        return match["reference"], None
    try:
        weight = float(written)
    except ValueError:
        weight = math.nan
    if not 0 < weight <= HEAVIEST:
        raise InvalidSpec(
            f"{argument!r} has the weight {written!r}; a weight is a number above 0 and no more than {HEAVIEST:,}",
            hint=HINT,
        )
    return match["reference"], weight


def _name(versions: Sequence[Version], name: str | None) -> str:
    """What the mix is called: as it is said, or as all of its versions are."""
    if name is not None:
        return check_name(name, "prompt")
    names = {one.name for one in versions}
    if len(names) > 1:
        raise InvalidSpec(f"a mix of {', '.join(sorted(names))} has no name yet", hint="add --name NAME")
    return names.pop()


def _artifact(made: Mixture, portions: Sequence[Portion], called: str) -> Artifact:
    """The mix with its card; it has no metrics and no data of its own, its parents have theirs."""
    dp = mixed({one.reference: one.artifact.card.to_json() for one in portions})
    card = Card(
        name=called if made.task else SHARED + called.removeprefix(SHARED),
        task=_named(made.task, portions, called),
        method="mix",
        hyperparameters={},
        backbone=portions[0].artifact.card.backbone,
        training={"mix": _shares(portions)} | ({"dp": dp.model_dump(mode="json")} if dp else {}),
        package_version=version("promptctl"),
    )
    return Artifact(card, made.form, made.head, made.factors)


def _named(task: Task | None, portions: Sequence[Portion], called: str) -> Task | None:
    """The task of all versions, or one of its own where they answer several."""
    several = {one.artifact.card.task.name for one in portions if one.artifact.card.task is not None}
    return replace(task, name=called) if task and len(several) > 1 else task


def _check_same_task(registry: Registry, artifact: Artifact) -> None:
    """A prompt's versions answer one task; a mix of another task's versions needs a name of its own."""
    name, task = artifact.card.name, artifact.card.task
    if task is None or name not in {one.name for one in registry.prompts()}:
        return
    for one in registry.versions(name):
        known = Card.from_json(one.card).task
        if one.state == "READY" and known and (known.kind, known.labels) != (task.kind, task.labels):
            raise InvalidSpec(
                f"{one.reference} answers {known.kind} rows by {', '.join(known.labels)}; this mix answers"
                f" {task.kind} rows by {', '.join(task.labels)}",
                hint="give it a name of its own: --name NAME",
            )


def _shares(portions: Sequence[Portion]) -> dict[str, float]:
    whole = math.fsum(one.weight for one in portions)
    return {one.reference: one.weight / whole for one in portions}
