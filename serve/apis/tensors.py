"""Tensors as the Open Inference Protocol sends them: in JSON, or as bytes behind it.

The bytes are those of the protocol's binary tensor data extension: little-endian numbers without padding; of a BYTES
tensor each element's length, four bytes, before the element.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np

from ..errors import Invalid

Datatype: TypeAlias = Literal["BYTES", "FP32", "INT64"]
HEADER = "Inference-Header-Content-Length"  # how many bytes of a body are JSON; the rest are tensors
NUMBERS = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


@dataclass(frozen=True)
class Tensor:
    """A named tensor, its values flat and row by row."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: Sequence[Any]

    def to_json(self) -> list[Any]:
        """The values as JSON has them; FP32 is rounded to 32 bits there too."""
        if self.datatype == "BYTES":
            return list(self.values)
        return np.asarray(self.values, NUMBERS[self.datatype]).tolist()

    def to_bytes(self) -> bytes:
        """The values as the binary extension has them."""
        if self.datatype == "BYTES":
            return pack(str(value).encode() for value in self.values)
        return np.asarray(self.values, NUMBERS[self.datatype]).tobytes()


def pack(elements: Iterable[bytes]) -> bytes:
    """The elements of a BYTES tensor, one behind the other."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def unpack(raw: bytes, where: str) -> list[str]:
    """The texts of a BYTES tensor.

    Raises:
        Invalid: its lengths do not add up, or an element is not UTF-8.
    """
    try:
        return [element.decode() for element in _elements(raw, where)]
    except UnicodeDecodeError:
        raise Invalid(f"{where} is not UTF-8") from None


def _elements(raw: bytes, where: str) -> Iterator[bytes]:
    place = 0
    while place < len(raw):
        start = place + 4
        size = int.from_bytes(raw[place:start], "little")
        place = start + size
        if place > len(raw):
            raise Invalid(f"{where} ends in the middle of an element")
        yield raw[start:place]


def flat(data: Sequence[Any], shape: Sequence[int], where: str) -> list[str]:
    """The texts of a JSON tensor, given flat or nested as its shape is.

    Raises:
        Invalid: it is neither, or an element is not a text.
    """
    found: list[Any] = list(data)
    for size in shape[1:]:
        if not any(isinstance(one, list) for one in found):
            break
        if not all(isinstance(one, list) and len(one) == size for one in found):
            raise Invalid(f"{where} is nested otherwise than its shape says")
        found = [value for one in found for value in one]
    if not all(isinstance(one, str) for one in found):
        raise Invalid(f"{where} has an element that is not a text")
    return found


def check_size(values: Sequence[str], shape: Sequence[int], where: str) -> None:
    """Refuse a tensor that has not as many elements as its shape says."""
    if len(values) != prod(shape):
        raise Invalid(f"{where} has {len(values)} elements, and its shape says another number")


def split(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """A body's JSON, and the tensors behind it.

    Raises:
        Invalid: the header is no number of bytes that the body has.
    """
    if header is None:
        return body, b""
    if not (header.isascii() and header.isdigit() and len(header) < 10 and int(header) <= len(body)):
        raise Invalid(f"{HEADER} is no length of a part of this body")
    return body[: int(header)], body[int(header) :]
