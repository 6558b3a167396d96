"""What one column of a record holds, or why it is no text, label, list of words or offset."""

import json
from collections.abc import Collection, Mapping

from .formats import is_unicode

Fields = Mapping[str, object]


class Rejected(ValueError):
    """Why a record is no row: names the column, never what it holds."""


def present(fields: Fields, column: str) -> object:
    """The value of a column, which may not be missing or null."""
    value = fields.get(column)
    if value is None:
        raise Rejected(f"missing field {column!r}")
    return value


def text(fields: Fields, column: str) -> str:
    """A column of text with something in it."""
    return checked(present(fields, column), column)


def optional_text(fields: Fields, column: str) -> str | None:
    """A column of text that may be missing, null or empty."""
    return None if fields.get(column) in (None, "") else text(fields, column)


def checked(value: object, column: str) -> str:
    """A value that is text with something in it."""
    if not isinstance(value, str):
        raise Rejected(f"field {column!r} is not text")
    if not value.strip():
        raise Rejected(f"empty text in field {column!r}")
    if not is_unicode(value):
        raise Rejected(f"field {column!r} is not Unicode text")
    return value


def label(fields: Fields, column: str, labels: Collection[str] | None) -> str:
    """A label as text: integers and booleans are written as JSON writes them."""
    return _label(present(fields, column), column, labels)


def tags(fields: Fields, column: str, labels: Collection[str] | None) -> tuple[str, ...]:
    """A label for each word: a list, or one text split at its spaces."""
    return tuple(_label(tag, column, labels) for tag in _several(fields, column))


def words(fields: Fields, column: str) -> tuple[str, ...]:
    """Words, at least one of them not empty: a list, or one text split at its spaces."""
    given = _several(fields, column)
    found = tuple(word for word in given if isinstance(word, str))
    if len(found) < len(given):
        raise Rejected(f"field {column!r} is not a list of words")
    if not all(map(is_unicode, found)):
        raise Rejected(f"field {column!r} is not Unicode text")
    if not any(word.strip() for word in found):
        raise Rejected(f"empty text in field {column!r}")
    return found


def texts(fields: Fields, column: str, what: str) -> tuple[str, ...]:
    """A list of texts, each with something in it; `what` says in an error what they are."""
    value = _list(present(fields, column), column)
    if not isinstance(value, list) or not value:
        raise Rejected(f"field {column!r} is not a list of {what}")
    return tuple(checked(one, column) for one in value)


def offset(value: object, column: str) -> int:
    """A count of characters, as a number or as digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Rejected(f"field {column!r} is not a character offset")
    return value


def _label(value: object, column: str, labels: Collection[str] | None) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int):
        value = str(value)
    value = checked(value, column)
    if labels is not None and value not in labels:
        raise Rejected(f"unknown label in field {column!r}")
    return value


def _several(fields: Fields, column: str) -> list[object]:
    value = _list(present(fields, column), column)
    if isinstance(value, str):
        return list(value.split())
    if not isinstance(value, list):
        raise Rejected(f"field {column!r} is not a list of words")
    return value


def _list(value: object, column: str) -> object:
    """A CSV file has no lists: text that begins like one must be one in JSON."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Rejected(f"field {column!r} begins like a list and is none in JSON") from None
