"""What can go wrong between an event and whoever is to be told of it."""

from typing import ClassVar

from ..errors import OrchestratorError


class NotDelivered(OrchestratorError, ConnectionError):
    """The receiver did not take a message."""

    code: ClassVar[str] = "unavailable"


class SealBroken(OrchestratorError, RuntimeError):
    """The key that opens the secrets of webhooks is missing, or is another one."""

    code: ClassVar[str] = "integrity"
