"""The prompt that training starts from, out of the bytes of the versions that --from names."""

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
    if len(origins) == 1:
        return methods.Start(origins[0].form, origins[0].factors if origins[0].card.task is None else {})
    return methods.Start(
        methods.mixed([origin.form for origin in origins], [one.weight for one in ingredients(text or "")])
    )
