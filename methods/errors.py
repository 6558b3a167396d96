"""What can go wrong between a row and an artifact."""

from typing import ClassVar


class MethodError(Exception):
    """The root of this package's errors; `code` is stable, `hint` says what to do next."""

    code: ClassVar[str] = "invalid"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidRow(MethodError, ValueError):
    """A row that its task cannot read; the message never holds the row's text."""


class InvalidSetting(MethodError, ValueError):
    """A hyperparameter, a method or a task that cannot work."""


class BackboneNotFound(MethodError, LookupError):
    """A backbone that is neither installed, nor a folder, nor reachable by name."""

    code: ClassVar[str] = "not_found"


class BackboneMismatch(MethodError, ValueError):
    """An artifact trained on another backbone."""

    code: ClassVar[str] = "integrity"


class CorruptArtifact(MethodError, ValueError):
    """Bytes that are not an artifact, or not a whole one."""

    code: ClassVar[str] = "integrity"
