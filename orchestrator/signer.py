"""The private key that signs what is published: a file of its owner's, read when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InvalidSpec, SourceNotFound, SourceUnavailable
from .settings import Settings

if TYPE_CHECKING:
    from registry.signing.ed25519 import PrivateKey


@dataclass(frozen=True)
class KeyFile:
    """Signs with the key in a file."""

    file: Path

    @cached_property
    def _private(self) -> PrivateKey:
        from registry.signing.ed25519 import PrivateKey

        try:
            return PrivateKey.read(self.file.read_bytes())
        except FileNotFoundError:
            raise SourceNotFound(f"no such key: {self.file}", hint="promptctl key create NAME makes one") from None
        except OSError as error:
            raise SourceUnavailable(f"cannot read the key {self.file}: {error.strerror}") from None

    @property
    def public(self) -> str:
        """The public key."""
        return self._private.public

    def sign(self, message: bytes) -> str:
        """The signature of these bytes."""
        return self._private.sign(message)


def configured(settings: Settings, key: str | None = None) -> KeyFile | None:
    """The key of that name or file, else the configured one, else none."""
    named = key or settings.signing_key
    return KeyFile(where(settings, named)) if named else None


def needed(settings: Settings, key: str | None) -> KeyFile:
    """The key of that name or file, else the configured one."""
    if (found := configured(settings, key)) is None:
        raise InvalidSpec("no key to sign with", hint="give --key NAME, or set PROMPTCTL_SIGNING_KEY")
    return found


def where(settings: Settings, key: str) -> Path:
    """The file of a private key: in the home by its name, or any by its path."""
    return Path(key).expanduser() if "/" in key or key.endswith(".pem") else settings.keys / f"{key}.pem"
