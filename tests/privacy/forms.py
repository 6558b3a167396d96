"""A word as bytes, in every way that a program may write it down."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import numpy as np

Forms = Mapping[str, bytes]


def forms(word: str, ids: Sequence[int]) -> Forms:
    """The patterns of a word and of its token ids, by what they are called; equal ones stand once."""
    utf8 = word.encode()
    found = {
        "UTF-8": utf8,
        "UTF-16LE": word.encode("utf-16-le"),
        "UTF-16BE": word.encode("utf-16-be"),
        "JSON": json.dumps(word)[1:-1].encode(),
        "percent": quote(word).encode(),
        "int32 ids": np.asarray(ids, "<i4").tobytes(),
        "int64 ids": np.asarray(ids, "<i8").tobytes(),
        "ids, ids": ", ".join(map(str, ids)).encode(),
        "ids,ids": ",".join(map(str, ids)).encode(),
    }
    for shift in range(3):
        found[f"base64 +{shift}"] = _inner(base64.b64encode, utf8, shift)
        found[f"base64url +{shift}"] = _inner(base64.urlsafe_b64encode, utf8, shift)
    names = {pattern: name for name, pattern in reversed(found.items())}
    return {name: pattern for pattern, name in reversed(names.items())}


def _inner(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> bytes:
    """The characters of base64 that depend on `data` alone, where `shift` bytes of a group of three stand before it."""
    encoded = encode(b"\0" * shift + data)
    return encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
