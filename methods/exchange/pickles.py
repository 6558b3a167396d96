"""Tensors out of a pickle by torch.save, without running it.

Two walls: the pickle is read as a list of opcodes first, and may name nothing but tensors and the dictionary that holds
them; then torch's own weights-only reader, which has a wider list, rebuilds them over a map of the file.
"""

import pickletools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from torch import Tensor

from .errors import UnreadableFile

Result = TypeVar("Result")

PICKLES = (".pt", ".bin", ".pth")
LARGEST_INDEX = 16 << 20  # bytes of the pickle itself; the numbers lie beside it
_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_HARMLESS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in _STORAGES),
}


def read_pickle(path: Path) -> Mapping[str, Tensor]:
    """Every tensor of a file by torch.save: those of a dictionary, or a single one under the name `tensor`.

    Raises:
        UnreadableFile: it names anything but tensors, is compressed, of the old format, or claims more than it holds.
    """
    _check_index(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, UnpicklingError) as error:
        raise UnreadableFile(f"{path.name!r} cannot be read as tensors: {type(error).__name__}") from error
    if isinstance(found, Tensor):
        found = {"tensor": found}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UnreadableFile(f"{path.name!r} holds a {type(found).__name__}, not named tensors")
    held = path.stat().st_size
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise UnreadableFile(f"{path.name!r} holds a {type(tensor).__name__} under {name[:60]!r}, not a tensor")
        if tensor.numel() * tensor.element_size() > held:
            raise UnreadableFile(f"{path.name!r} has {held} bytes and claims {list(tensor.shape)} for {name[:60]!r}")
    return found


def _check_index(path: Path) -> None:
    entry = _index(path, _read(path, lambda archive: archive.infolist()))
    for name in _named(path, _read(path, lambda archive: archive.read(entry))):
        if name not in _HARMLESS:
            raise UnreadableFile(f"{path.name!r} is a pickle that names {name[:60]!r}, which is no tensor")


def _read(path: Path, what: Callable[[zipfile.ZipFile], Result]) -> Result:
    try:
        with zipfile.ZipFile(path) as archive:
            return what(archive)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(
            f"{path.name!r} is no archive by torch.save", hint="save it again with a current torch, or as safetensors"
        ) from error


def _index(path: Path, entries: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """The entry that is the pickle; the archive must be one that every reader understands alike."""
    names = [entry.filename.casefold() for entry in entries]
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UnreadableFile(f"{path.name!r} is compressed or claims more than it holds")
    found = [entry for entry in entries if entry.filename.casefold().rpartition("/")[2] == "data.pkl"]
    if len(set(names)) < len(names) or len({name.partition("/")[0] for name in names}) != 1 or len(found) != 1:
        raise UnreadableFile(f"{path.name!r} is not one archive by torch.save")
    if found[0].file_size > LARGEST_INDEX:
        raise UnreadableFile(f"{path.name!r} has an index of {found[0].file_size} bytes")
    return found[0]


def _named(path: Path, index: bytes) -> list[str]:
    """What the pickle wants to import, module and name; a name made up on the way is nothing harmless."""
    try:
        operations = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(index)]
    except ValueError as error:
        raise UnreadableFile(f"{path.name!r} holds a pickle that is not whole") from error
    imports = [str(argument) for name, argument in operations if name in ("GLOBAL", "INST")]
    return imports + [name for name, _ in operations if name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4")]
