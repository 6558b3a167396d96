"""What can go wrong between a request and its answer, by kind; the wire carries the code."""

from typing import ClassVar


class ServeError(Exception):
    """An error of serving: a message that says what happened and a hint that says what to do next."""

    code: ClassVar[str]

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Invalid(ServeError, ValueError):
    """The request itself is malformed."""

    code = "invalid"


class NotFound(ServeError, LookupError):
    """Nothing is served under that reference."""

    code = "not_found"


class NotAllowed(ServeError, PermissionError):
    """The request lacks a token, or its token lacks the role."""

    code = "auth"


class Unavailable(ServeError, ConnectionError):
    """The server cannot be reached or cannot start, or what it needs does not answer."""

    code = "unavailable"


class Integrity(ServeError, RuntimeError):
    """A version that failed its checks, or that answers with no number."""

    code = "integrity"


class Failed(ServeError, RuntimeError):
    """An error that nobody foresaw."""

    code = "run_failed"


class Overloaded(ServeError, RuntimeError):
    """More is waiting than the server takes; it will take more after `retry_after_s` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class TimedOut(ServeError, TimeoutError):
    """A row waited until its deadline, and was not run."""

    code = "timed_out"


KINDS: dict[str, type[ServeError]] = {
    kind.code: kind for kind in (Invalid, NotFound, NotAllowed, Unavailable, Integrity, Failed, Overloaded, TimedOut)
}
