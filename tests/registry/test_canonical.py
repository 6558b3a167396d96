"""JSON as it is hashed."""

from hashlib import sha256

import pytest

from registry.canonical import hash_of


def test_the_hash_of_a_value_is_that_of_its_sorted_compact_json() -> None:
    expected = sha256('{"a":"é","b":[1,null],"c":{"x":2,"y":1}}'.encode()).hexdigest()
    assert hash_of({"c": {"y": 1, "x": 2}, "b": [1, None], "a": "é"}) == expected


def test_a_value_that_json_cannot_say_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_of({"loss": float("nan")})
