"""So many at a time as a database takes in one question."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..versions import AT_ONCE

Item = TypeVar("Item")


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in their order, some at a time."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
