"""Ed25519 (RFC 8032): a private key as PEM, public keys and signatures in base64."""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ..errors import Invalid


@dataclass(frozen=True)
class PrivateKey:
    """Signs; it is for a file of its owner's, and never for the registry."""

    key: Ed25519PrivateKey

    @classmethod
    def new(cls) -> Self:
        """A random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, pem: bytes) -> Self:
        """The key in a PEM file (PKCS 8, without a passphrase)."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):  # their messages might quote the file
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise Invalid(
                "the file holds no Ed25519 private key without a passphrase", hint="promptctl key create NAME"
            )
        return cls(key)

    @property
    def pem(self) -> bytes:
        """What `read` reads."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> str:
        """By which its signatures are checked."""
        return b64encode(self.key.public_key().public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        """The signature: of the same message always the same."""
        return b64encode(self.key.sign(message)).decode()


def verifies(public: str, signature: str, message: bytes) -> bool:
    """Whether the holder of that key signed exactly these bytes."""
    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(public, validate=True))
        key.verify(b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
