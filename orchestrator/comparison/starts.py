"""What --from gives a comparison: versions pinned when it is planned, their bytes kept beside its cells.

A resumed comparison reads them there, whatever has become of the versions since.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from registry import Registry

from ..start import ingredients, pinned, versions

Texts: TypeAlias = Mapping[str, Sequence[str]]  # what each method starts from

FOLDER = "starts"


def pin(registry: Registry, starts: Texts) -> dict[str, tuple[str, ...]]:
    """The same, each version by its number.

    Raises:
        InvalidSpec: a text that names no versions.
        RegistryError: there is no such version.
    """
    return {method: tuple(dict.fromkeys(pinned(registry, text) for text in texts)) for method, texts in starts.items()}


def fetch(registry: Registry, starts: Texts) -> dict[str, bytes]:
    """The bytes of every version of pinned starts, by its reference."""
    named = {text: versions(registry, text) for texts in starts.values() for text in texts}
    return {version.reference: registry.fetch(version) for several in named.values() for version in several}


def keep(folder: Path, blobs: Mapping[str, bytes]) -> None:
    """Write what was fetched into a comparison's folder."""
    for reference, blob in blobs.items():
        file = _file(folder, reference)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob)


def kept(folder: Path, starts: Texts) -> dict[str, tuple[bytes, ...]]:
    """The bytes of each pinned start, in the order in which it names its versions."""
    return {
        text: tuple(_file(folder, one.reference).read_bytes() for one in ingredients(text))
        for texts in starts.values()
        for text in texts
    }


def _file(folder: Path, reference: str) -> Path:
    return folder / FOLDER / f"{reference}.safetensors"
