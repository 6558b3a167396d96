"""Tensors out of somebody else's file: what the header claims is checked before anything is allocated."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import UnreadableFile
from .pickles import PICKLES, read_pickle

LARGEST_TENSOR = 1 << 30  # bytes in fp32
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_FLOATS = {"F16", "BF16", "F32", "F64", torch.float16, torch.bfloat16, torch.float32, torch.float64}


@dataclass(frozen=True)
class Claim:
    """What a file says of one tensor."""

    shape: tuple[int, ...]
    dtype: object


@dataclass(frozen=True)
class TensorFile:
    """Named tensors that are read when they are asked for."""

    name: str
    claims: Mapping[str, Claim]
    load: Callable[[str], Tensor]
    metadata: Mapping[str, str]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape that the file claims.

        Raises:
            UnreadableFile: it has no such tensor.
        """
        if name not in self.claims:
            raise UnreadableFile(f"{self.name} has no tensor {name!r}", hint="the file is not whole, or another kind")
        return self.claims[name].shape

    def take(self, name: str, *sizes: int | None) -> Tensor:
        """The tensor in fp32, of the sizes that are given; None stands for any.

        Raises:
            UnreadableFile: it is missing, of another shape or type, too large, or holds a number that is not finite.
        """
        shape = self.shape(name)
        fits = len(shape) == len(sizes) and all(want in (None, size) for want, size in zip(sizes, shape, strict=True))
        if not fits or 0 in shape:
            wanted = ", ".join("any" if size is None else str(size) for size in sizes)
            raise UnreadableFile(
                f"{name!r} of {self.name} has shape {list(shape)}, not [{wanted}]",
                hint="give the backbone that it was trained on: --backbone NAME|FOLDER",
            )
        if self.claims[name].dtype not in _FLOATS:
            raise UnreadableFile(f"{name!r} of {self.name} holds {self.claims[name].dtype}, not floating-point numbers")
        if 4 * math.prod(shape) > LARGEST_TENSOR:
            raise UnreadableFile(f"{name!r} of {self.name} is larger than {LARGEST_TENSOR} bytes")
        tensor = self.load(name).detach().to(torch.float32, copy=True).contiguous()
        if not torch.isfinite(tensor).all():
            raise UnreadableFile(f"{name!r} of {self.name} holds a number that is not finite in fp32")
        return tensor


def read_tensors(path: Path, *, allow_pickle: bool) -> TensorFile:
    """Open a file by its ending.

    Raises:
        UnreadableFile: it is damaged, claims more than it holds, or is a pickle and those are not allowed.
    """
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix == ".npy":
        return _npy(path)
    if path.suffix not in PICKLES:
        raise UnreadableFile(f"{path.name!r} is no file of tensors", hint="give .safetensors, .npy, .pt or .bin")
    if not allow_pickle:
        raise UnreadableFile(
            f"{path.name!r} is a pickle, a format that can hold programs",
            hint="convert it to safetensors, or say --allow-pickle: only tensors are then read from it",
        )
    found = read_pickle(path)
    claims = {name: Claim(tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()}
    return TensorFile(path.name, claims, found.__getitem__, {})


def _safetensors(path: Path) -> TensorFile:
    def load(name: str) -> Tensor:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(name)

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            claims = {name: Claim(tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise UnreadableFile(f"{path.name!r} is not a whole safetensors file") from error
    return TensorFile(path.name, claims, load, metadata)


def _npy(path: Path) -> TensorFile:
    """One array, under the name `array`."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
            held = path.stat().st_size - file.tell()
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise UnreadableFile(f"{path.name!r} is not a whole npy file") from error
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise UnreadableFile(f"{path.name!r} holds {dtype}, not floating-point numbers of at most 64 bits")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise UnreadableFile(f"{path.name!r} claims the shape {list(shape)} and holds {held} bytes")

    def load(_: str) -> Tensor:
        return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))

    return TensorFile(path.name, {"array": Claim(tuple(shape), torch.float32)}, load, {})
