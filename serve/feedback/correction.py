"""A correction: a row, and the label that a version should have given it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LARGEST = 65_536  # bytes of one correction; small enough that Ray passes it by value, never through its object store


@dataclass(frozen=True)
class Correction:
    """What a user says of an answer of `version`; printed, it shows none of it."""

    prompt: str
    version: str
    version_id: int
    fields: Mapping[str, str] = field(repr=False)
    label: str = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of the texts and the label in UTF-8."""
        return sum(len(text.encode()) for text in (*self.fields.values(), self.label))

    def emptied(self) -> "Correction":
        """The same without what it says."""
        return replace(self, fields={}, label="")
