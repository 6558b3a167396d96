"""What can go wrong between somebody else's file and an artifact."""

from typing import ClassVar

from ..errors import MethodError


class NoSuchFile(MethodError, LookupError):
    """A path where nothing is."""

    code: ClassVar[str] = "not_found"


class UnreadableFile(MethodError, ValueError):
    """A file that is damaged, too large, not what it says, or that reaches outside its folder."""

    code: ClassVar[str] = "integrity"


class Inexact(MethodError, ValueError):
    """A prompt that one of the two formats cannot hold without changing what it answers."""

    code: ClassVar[str] = "refused"
