"""Prompts from other tools and for them: files become versions, and versions become files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from methods import Artifact, Backbone, Kind, Task
from methods.exchange import (
    EXPORTERS,
    IMPORTERS,
    Exported,
    Found,
    Importer,
    Outgoing,
    Source,
    Wanted,
    artifact_of,
    card_of,
    recognised,
    shared_of,
    task_of,
)
from methods.exchange.naming import public_name
from registry import Parent, Registry, Version
from registry.canonical import digest_of
from registry.errors import Conflict

from . import tasks
from .job import TaskJob
from .sources import read

Say = Callable[[str], None]


@dataclass(frozen=True)
class Intake:
    """What to import, and what its files do not say."""

    path: Path
    name: str
    format: str | None = None  # else it is recognised
    task: str | None = None
    kind: Kind | None = None
    labels: tuple[str, ...] = ()
    task_id: int | None = None
    backbone: str = ""
    allow_pickle: bool = False


@dataclass(frozen=True)
class Brought:
    """One prompt that an import publishes; a dry run gives a new version no number."""

    reference: str
    format: str
    method: str
    task: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class _Reading:
    """A file, read on the backbone that it is imported for."""

    importer: Importer
    found: Found
    wanted: Wanted
    backbone: Backbone


def bring(registry: Registry, intake: Intake, *, actor: str, say: Say, dry_run: bool = False) -> list[Brought]:
    """Publish what the files hold: one version, or one per task beside the shared prompt that they come from.

    The same files for the same backbone give the same versions.

    Raises:
        MethodError: the files are damaged, do not fit the backbone, or hold what cannot be kept exactly.
        RegistryError: the name is no name, or the registry does not answer.
    """
    reading = _read(registry, intake, say)
    shared = shared_of(reading.found, reading.importer.name, f"shared/{intake.name}", reading.backbone)
    made = list(_artifacts(reading, intake.name))
    if dry_run:
        return [_brought(one, reading, None) for one in ([shared] if shared else []) + made]
    first = _publish(registry, shared, actor, ()) if shared else None
    parents = [Parent(first.id, "shared")] if first else []
    rows = [_brought(shared, reading, first)] if shared and first else []
    return rows + [_brought(one, reading, _publish(registry, one, actor, parents)) for one in made]


def send(
    registry: Registry, references: Sequence[str], to: str, backbone: str | None, *, byte_compat: bool
) -> Exported:
    """The files of versions in another tool's format.

    Raises:
        MethodError: the format cannot hold them exactly, or the backbone is another one.
        RegistryError: nothing has that name, or its bytes are damaged.
    """
    versions = [registry.resolve(reference) for reference in references]
    artifacts = [Artifact.from_bytes(registry.fetch(one)) for one in versions]

    def load() -> Backbone:
        loaded = Backbone.load(backbone or artifacts[0].card.backbone.name)
        for artifact in artifacts:
            artifact.check_backbone(loaded.fingerprint)
        return loaded

    return EXPORTERS[to].write(Outgoing(artifacts, load, _shared(registry, versions), byte_compat))


def write(exported: Exported, folder: Path, *, force: bool) -> list[Path]:
    """Put files into a folder, all of them or, where one is there already, none.

    Raises:
        Conflict: a file of that name is there, and `force` is not given.
    """
    paths = [folder / name for name in exported.files]
    there = [path.name for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise Conflict(f"{folder} already holds {', '.join(there)}", hint="choose another folder, or --force")
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in zip(paths, exported.files.values(), strict=True):
        path.unlink(missing_ok=True)
        path.write_bytes(data)
    return paths


def _read(registry: Registry, intake: Intake, say: Say) -> _Reading:
    source = Source.at(intake.path, allow_pickle=intake.allow_pickle)
    importer = IMPORTERS[intake.format] if intake.format else recognised(source)
    if not intake.format:
        say(f"recognised as {importer.name}")
    task = _task(registry, intake.task) if intake.task else None
    wanted = Wanted(task, intake.kind, intake.labels, intake.task_id)
    backbone = Backbone.load(intake.backbone)
    found = importer.read(source, backbone, wanted)
    if base := public_name(found.base):
        say(f"the files call their base {base}; it is imported for {backbone.fingerprint}")
    for note in found.notes:
        say(note)
    return _Reading(importer, found, wanted, backbone)


def _task(registry: Registry, name: str) -> Task:
    """A registered task with its labels, those of its training rows where it names none."""
    spec = tasks.find(registry, name)
    labels = spec.labels if spec.labels is not None else read(spec, "train").labels
    return TaskJob(task=spec, labels=labels, digests={}, rows={}).resolved()


def _artifacts(reading: _Reading, name: str) -> Sequence[Artifact]:
    """Several tasks of one file are numbered as there; a prompt without a task is a shared one."""
    several = len(reading.found.prompts) > 1
    made = []
    for one in reading.found.prompts:
        called = f"{name}-{one.task_id}" if several else name
        task = task_of(one, called, reading.wanted)
        card = card_of(one, reading.found, reading.importer.name, called, task, reading.backbone)
        named = replace(card, name=called if task else f"shared/{called}", package_version=version("promptctl"))
        made.append(artifact_of(one, named, reading.backbone))
    return made


def _publish(registry: Registry, artifact: Artifact, actor: str, parents: Sequence[Parent]) -> Version:
    blob = artifact.to_bytes()
    card, key = artifact.card.to_json(), f"import/{digest_of(blob)}"
    return registry.publish(artifact.card.name, blob, card, idempotency_key=key, actor=actor, parents=parents)


def _brought(artifact: Artifact, reading: _Reading, published: Version | None) -> Brought:
    blob, card = artifact.to_bytes(), artifact.card
    reference = published.reference if published else card.name
    kind = card.task.kind if card.task else ""
    return Brought(reference, reading.importer.name, card.method, kind, len(blob), digest_of(blob))


def _shared(registry: Registry, versions: Sequence[Version]) -> Artifact | None:
    """The one shared prompt that all of these versions were made from."""
    found = {(parent.name, parent.number) for one in versions for parent in one.parents if parent.role == "shared"}
    if len(found) != 1:
        return None
    ((name, number),) = found
    return Artifact.from_bytes(registry.fetch(registry.resolve(f"{name}:{number}")))
