"""A bare soft prompt: one tensor [P, E] in a safetensors or npy file, put before everything as most tools do."""

from typing import ClassVar

from ..forms import SoftPrompt
from ..runtime.backbone import Backbone
from .errors import Inexact, UnreadableFile
from .foreign import Source
from .imported import Found, Imported, Wanted
from .peft import PROMPT


class SoftPromptImporter:
    """One file with one tensor of two dimensions."""

    name: ClassVar[str] = "soft-prompt"

    def recognises(self, source: Source) -> bool:
        """A single file whose ending is that of such tensors."""
        return len(source.files) == 1 and source.files[0].endswith((".safetensors", ".npy"))

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """Rows before everything, which count as positions."""
        del wanted
        if len(source.files) != 1:
            raise UnreadableFile(f"{str(source.folder)!r} holds {len(source.files)} files", hint="name the file itself")
        file = source.tensors(source.files[0])
        if "promptctl" in file.metadata:
            raise Inexact(f"{file.name} is an artifact of promptctl, which says more than its tensor")
        if len(file.claims) != 1:
            raise UnreadableFile(f"{file.name} holds {len(file.claims)} tensors; a bare soft prompt is one")
        (name,) = file.claims
        if name == PROMPT:
            raise Inexact(
                f"{file.name} is peft's, and how it is meant stands beside it", hint="name the folder instead"
            )
        rows = file.take(name, None, backbone.embedding_size)
        kind = None if backbone.architecture == "encoder" else "generation"
        prompt = Imported(SoftPrompt(rows, "first", shifts=True), "prompt-tuning", kind)
        notes = (
            "the file says nothing of its base but its width, and nothing of its place: it is put before everything",
        )
        return Found((prompt,), notes=notes)
