"""What can go wrong between a task's files and a published version."""

from typing import ClassVar


class OrchestratorError(Exception):
    """Everything the orchestrator raises on purpose; `code` is the word the CLI and HTTP translate."""

    code: ClassVar[str] = "invalid"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidSpec(OrchestratorError, ValueError):
    """A task, a run, a setting or a configuration file that says something impossible."""


class UnknownTask(OrchestratorError, LookupError):
    """A task name that neither the registry nor the built-in tasks know."""

    code = "not_found"


class InvalidSource(OrchestratorError, ValueError):
    """A data file that holds no usable rows."""


class TooManyBadRows(InvalidSource):
    """A data file with a larger share of bad rows than its task allows."""


class SourceNotFound(OrchestratorError, FileNotFoundError):
    """A data file that is not where the task says it is."""

    code = "not_found"


class SourceUnavailable(OrchestratorError, OSError):
    """A data file that is there but cannot be read now."""

    code = "unavailable"


class RunFailed(OrchestratorError, RuntimeError):
    """A run that started and did not publish."""

    code = "run_failed"


class NotAllowed(OrchestratorError, PermissionError):
    """A token that lets nobody do this."""

    code = "auth"


class Refused(OrchestratorError, RuntimeError):
    """A gate is not met; the message has the numbers."""

    code = "refused"
