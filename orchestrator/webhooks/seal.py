"""The secrets of webhooks: in the registry only sealed, with a key that is in a file of their owner's.

A signature needs the secret itself, so a hash would not do. Whoever has the database, or a backup of it, has no
secret; whoever has `webhook.key` as well has them all. Every machine that delivers needs that file.
"""

import secrets
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken

from ..errors import InvalidSpec
from ..own_file import write_new
from .errors import SealBroken

FILE = "webhook.key"
PREFIX = "whsec_"  # as Standard Webhooks have it
RANDOM_BYTES = 32


@dataclass(frozen=True)
class Seal:
    """Closes and opens secrets."""

    file: Path
    fernet: Fernet

    @classmethod
    def of(cls, home: Path) -> Self:
        """The seal of a home."""
        file = home / FILE
        try:
            return cls(file, Fernet(file.read_bytes()))
        except FileNotFoundError:
            raise SealBroken(
                f"no such file: {file}", hint=f"copy it from where webhooks were made: {FILE} in that home"
            ) from None
        except ValueError:
            raise SealBroken(f"{file} holds no key", hint="restore it from a backup") from None

    @classmethod
    def made(cls, home: Path) -> Self:
        """The seal of a home, new where there was none."""
        with suppress(InvalidSpec):  # it is there already
            write_new(home / FILE, Fernet.generate_key())
        return cls.of(home)

    def close(self, secret: str) -> str:
        """The secret as the registry may keep it."""
        return self.fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> bytes:
        """The bytes of a sealed secret."""
        try:
            secret = self.fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SealBroken(
                f"the secret was not sealed with {self.file}", hint="delete the webhook and make it again"
            ) from None
        return b64decode(secret.removeprefix(PREFIX))


def new_secret() -> str:
    """A random secret, as its receiver is told it."""
    return PREFIX + b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()
