"""What training begins with, out of the bytes of the versions that --from and --teachers name."""

from collections.abc import Sequence

import methods

from .errors import InvalidSpec
from .start import ingredients


def start_from(blobs: Sequence[bytes], text: str | None, backbone: methods.Backbone) -> methods.Start | None:
    """One version's prompt, with the factors that a shared prompt keeps; or several versions' prompts, by their shares.

    Raises:
        InvalidSpec: a version that has only a head.
        MethodError: a version that does not fit the backbone or the others.
    """
    origins = [methods.Artifact.from_bytes(blob) for blob in blobs]
    for origin in origins:
        origin.check_backbone(backbone.fingerprint)
        if origin.form is None:
            raise InvalidSpec(f"{origin.card.name!r} has no prompt to start from, only a head")
    if not origins:
        return None
    shared = all(origin.card.task is None for origin in origins)
    if len(origins) == 1:
        return methods.Start(origins[0].form, origins[0].factors if shared else {})
    weights = [one.weight for one in ingredients(text or "")]
    factors = methods.mixed_tensors([origin.factors for origin in origins], weights) if shared else {}
    return methods.Start(methods.mixed([origin.form for origin in origins], weights), factors)


def teachers_from(
    blobs: Sequence[bytes], tasks: Sequence[methods.Task], backbone: methods.Backbone
) -> list[methods.Artifact]:
    """The versions in the order of the tasks that they teach.

    Raises:
        InvalidSpec: not exactly one version for each task, or one with other labels.
        MethodError: a version that does not fit the backbone.
    """
    found = {one.card.task.name: one for one in map(methods.Artifact.from_bytes, blobs) if one.card.task and one.head}
    if not blobs:
        return []
    if sorted(found) != sorted(task.name for task in tasks) or len(found) != len(blobs):
        names = ", ".join(task.name for task in tasks)
        raise InvalidSpec(f"--teachers names versions of {', '.join(sorted(found))}; give one of each of {names}")
    for task in tasks:
        found[task.name].check_backbone(backbone.fingerprint)
        if (known := found[task.name].card.task) is not None and known != task:
            raise InvalidSpec(f"the teacher of task {task.name!r} has labels or a template that the task no longer has")
        if methods.positions_taken(found[task.name].form, backbone.place):
            raise InvalidSpec(
                f"the teacher of task {task.name!r} takes positions of the text, which a student reads whole"
            )
    return [found[task.name] for task in tasks]
