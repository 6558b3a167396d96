"""JSON as the registry stores and hashes it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from .errors import Invalid


def digest_of(blob: bytes) -> str:
    """The content address of a blob."""
    return f"sha256:{sha256(blob).hexdigest()}"


def hash_of(value: Mapping[str, Any]) -> str:
    """The sha256 of a value's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(text.encode()).hexdigest()


def plain(value: Mapping[str, object], what: str) -> dict[str, Any]:
    """The value as JSON would return it; refuses what JSON cannot say."""
    try:
        return json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Invalid(
            f"the {what} is not JSON: {error}", hint="use text, finite numbers, booleans, lists and mappings"
        ) from error
