"""Our own artifact file as it is, for another registry or for a program that reads it with `Artifact.from_bytes`."""

from typing import ClassVar

from .outgoing import Exported, Outgoing


class OwnExporter:
    """The bytes that the registry holds; equal artifacts give equal bytes."""

    name: ClassVar[str] = "safetensors"

    def write(self, outgoing: Outgoing) -> Exported:
        """One file, named like its prompt."""
        artifact = outgoing.one
        return Exported({f"{artifact.card.name.replace('/', '-')}.safetensors": artifact.to_bytes()})
