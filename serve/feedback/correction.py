"""A correction: a row, and the label that a version should have given it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods import Example

LARGEST = 65_536  # bytes of one correction; small enough that Ray passes it by value, never through its object store


@dataclass(frozen=True)
class Correction:
    """What a user says of an answer of `version`; printed, it shows none of it."""

    prompt: str
    version: str
    version_id: int
    fields: Mapping[str, str] = field(repr=False)
    label: str = field(repr=False)
    read: str = field(default="", repr=False)  # a digest of its tokens; rows with the same are one row to a model

    @property
    def nbytes(self) -> int:
        """Bytes of the texts and the label in UTF-8."""
        return sum(len(text.encode()) for text in (*self.fields.values(), self.label))

    def emptied(self) -> "Correction":
        """The same without what it says."""
        return replace(self, fields={}, label="", read="")


def digest_of_tokens(examples: "Sequence[Example]") -> str:
    """What a model reads of a row, hashed; held in memory, like the text."""
    tokens = repr([(tuple(one.input_ids), tuple(one.token_type_ids)) for one in examples])
    return blake2b(tokens.encode(), digest_size=16).hexdigest()
