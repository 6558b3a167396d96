"""Public keys, those that were revoked, and the signatures made with them; none of the rows ever changes."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ..columns import Base


class KeyRow(Base):
    """A public key; the private one was never here."""

    __tablename__ = "signing_key"

    name: Mapped[str] = mapped_column(primary_key=True)
    public: Mapped[str] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class RevocationRow(Base):
    """A key that counts no more, nor does what it signed before."""

    __tablename__ = "key_revocation"

    key: Mapped[str] = mapped_column(ForeignKey("signing_key.name"), primary_key=True)
    revoked_by: Mapped[str]
    revoked_at: Mapped[datetime]


class SignatureRow(Base):
    """What a key said of a version, in base64."""

    __tablename__ = "version_signature"

    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(ForeignKey("signing_key.name"), primary_key=True)
    signature: Mapped[str]
    signed_by: Mapped[str]
    signed_at: Mapped[datetime]
