"""Keys and signatures as values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .statement import Statement


class Signer(Protocol):
    """Whoever holds a private key: `ed25519.PrivateKey`, or a file of one that is read when it is needed."""

    @property
    def public(self) -> str:
        """The public key."""
        ...

    def sign(self, message: bytes) -> str:
        """The signature of these bytes."""
        ...


@dataclass(frozen=True)
class Key:
    """A public key as the registry knows it. Its name is never given to another."""

    name: str
    public: str
    created_by: str
    created_at: datetime
    revoked_by: str | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Signature:
    """What a key said of a version; `public` is None where the registry does not know the key any more."""

    key: str
    public: str | None
    signature: str
    revoked: bool


@dataclass(frozen=True)
class Signed:
    """A version as the registry has it now, and all that was signed of it: enough to check it without the registry."""

    statement: Statement
    signatures: tuple[Signature, ...]
