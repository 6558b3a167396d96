"""The dimensions of every tensor that was persisted."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

HEADER = 8  # bytes that say how long the header is


def tensors(folder: Path) -> Iterator[tuple[Path, str, tuple[int, ...]]]:
    """(file, name, shape) of every tensor in a safetensors file below a folder, whatever the file is called."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (header := _header(file.read_bytes())):
            for name, tensor in header.items():
                if name != "__metadata__":
                    yield file, name, tuple(tensor["shape"])


def _header(data: bytes) -> dict[str, dict[str, list[int]]]:
    if data[HEADER : HEADER + 2] != b'{"':
        return {}
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[HEADER : HEADER + length])
