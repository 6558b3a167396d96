"""Other tools' prompts: read as artifacts, and artifacts written for them.

A new format is a file and its line in `IMPORTERS` or `EXPORTERS`.
"""

from collections.abc import Mapping

from .adapters import AdaptersImporter
from .errors import Inexact, NoSuchFile, UnreadableFile
from .foreign import Source
from .imported import Found, Imported, Importer, Wanted, artifact_of, card_of, shared_of, task_of
from .outgoing import Exported, Exporter, Outgoing
from .own import OwnExporter
from .p_tuning_v2 import PTuningV2Importer
from .peft import PeftImporter
from .peft_export import PeftExporter, PeftPackExporter
from .soft_prompt import SoftPromptImporter
from .tgis import TgisExporter, TgisImporter

IMPORTERS: Mapping[str, Importer] = {
    importer.name: importer
    for importer in (PeftImporter(), PTuningV2Importer(), AdaptersImporter(), TgisImporter(), SoftPromptImporter())
}
EXPORTERS: Mapping[str, Exporter] = {
    exporter.name: exporter for exporter in (PeftExporter(), TgisExporter(), PeftPackExporter(), OwnExporter())
}


def recognised(source: Source) -> Importer:
    """The importer whose files these look like.

    Raises:
        UnreadableFile: they look like none.
    """
    for importer in IMPORTERS.values():
        if importer.recognises(source):
            return importer
    raise UnreadableFile(
        f"{str(source.folder)!r} holds no prompt of a known format",
        hint=f"say which it is with --as: {', '.join(IMPORTERS)}",
    )
