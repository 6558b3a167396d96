"""Soft prompts for IBM's text generation server: torch.save of one plain tensor [P, E].

The server puts `decoder.pt` before the text of a decoder and `encoder.pt` before that of an encoder-decoder, and
counts its rows as positions; caikit-nlp writes the same files.
"""

import io
from typing import ClassVar

import torch

from ..forms import SoftPrompt
from ..runtime.backbone import Backbone
from .errors import Inexact
from .foreign import Source
from .imported import Found, Imported, Wanted
from .outgoing import Exported, Outgoing, rows_before_everything, speaks, wording

ENCODER, DECODER = "encoder.pt", "decoder.pt"
_FILES = {"decoder": DECODER, "encoder-decoder": ENCODER}


class TgisImporter:
    """encoder.pt or decoder.pt, which are pickles."""

    name: ClassVar[str] = "tgis"

    def recognises(self, source: Source) -> bool:
        """One of the two names."""
        return source.first((ENCODER, DECODER)) is not None

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """The prompt before the text that the backbone reads."""
        del wanted
        name = _file(backbone)
        if name not in source.files:
            raise Inexact(f"a {backbone.architecture} takes its prompt from {name}, which is not here")
        if name == ENCODER and DECODER in source.files:
            raise Inexact("there is a prompt for the decoder too, where promptctl puts prefixes only")
        file = source.tensors(name)
        rows = file.take("tensor", None, backbone.embedding_size)
        prompt = Imported(SoftPrompt(rows, "first", shifts=True), "prompt-tuning", "generation")
        return Found((prompt,), notes=("these files say nothing of their base but its width",))


class TgisExporter:
    """One prompt of a language model."""

    name: ClassVar[str] = "tgis"

    def write(self, outgoing: Outgoing) -> Exported:
        """encoder.pt or decoder.pt."""
        backbone, artifact = outgoing.backbone(), outgoing.one
        rows = rows_before_everything(artifact, backbone)
        if not speaks(artifact, backbone):
            raise Inexact(f"{artifact.card.name!r} has a head of its own; the server only generates text")
        buffer = io.BytesIO()
        torch.save(rows.contiguous(), buffer)
        return Exported({_file(backbone): buffer.getvalue()}, wording(artifact))


def _file(backbone: Backbone) -> str:
    if backbone.architecture not in _FILES:
        raise Inexact(f"{backbone.fingerprint.name} is an encoder; the server only generates text")
    return _FILES[backbone.architecture]
