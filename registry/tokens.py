"""Tokens: each lets its holder in with a role. Random, shown once, and kept as nothing but their hash."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Self, cast

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from . import revisions
from .database import Database, connect
from .errors import Conflict, Invalid, NotFound
from .models import TokenRow
from .references import check_name
from .review import issued
from .roles import ROLES, Role

PREFIX = "pc_"  # by which scanners for leaked secrets know one
RANDOM_BYTES = 32


@dataclass(frozen=True)
class Token:
    """A token as one may show it. Its name stands for it in every log, and is never given to another."""

    name: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def valid(self, now: datetime) -> bool:
        """Whether it lets anybody in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def may(self, role: Role) -> bool:
        """Whether its role is that one or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Tokens:
    """The tokens of a registry. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, database_url: str) -> Self:
        """Open the registry's database; one on SQLite is made or upgraded on the way."""
        revisions.make_ready(database_url)
        return cls(Database(connect(database_url)))

    def close(self) -> None:
        """Close every connection."""
        self._database.engine.dispose()

    def create(self, name: str, role: Role, *, actor: str, expires_at: datetime | None = None) -> tuple[Token, str]:
        """A new token, and the secret that is it, which nobody can ask for again.

        Raises:
            Invalid: it is no name, or the time is over already.
            Conflict: a token has or had that name.
        """
        now = datetime.now(UTC)
        if expires_at is not None and expires_at <= now:
            raise Invalid(
                f"a token that expires at {expires_at.isoformat()} lets nobody in", hint="choose a later time"
            )
        secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        row = TokenRow(
            name=check_name(name, "token"),
            role=role,
            sha256=hash_of_secret(secret),
            created_by=actor,
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
        )
        with self._database.write() as session:
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                raise Conflict(f"there is or was a token {name!r}", hint="give this one another name") from error
            issued.created(session, row)
            return _to_record(row), secret

    def issued(self) -> list[Token]:
        """Every token there ever was, by name."""
        with self._database.read() as session:
            return [_to_record(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]

    def revoke(self, name: str, *, actor: str = "") -> Token:
        """Let nobody in with it any more, from within seconds on and for good; again changes nothing."""
        with self._database.write() as session:
            row = _known(session, name)
            if row.revoked_at is None:
                row.revoked_at = now = datetime.now(UTC)
                session.flush()
                issued.revoked(session, row, actor, now)
            return _to_record(row)

    def by_hash(self) -> Mapping[str, Token]:
        """Every token that was not revoked, by the hash of its secret."""
        with self._database.read() as session:
            rows = session.scalars(select(TokenRow).where(TokenRow.revoked_at.is_(None)))
            return {row.sha256: _to_record(row) for row in rows}


def hash_of_secret(secret: str) -> str:
    """What is kept of a secret. It is random and long, so that one fast hash is enough."""
    return sha256(secret.encode()).hexdigest()


def _known(session: Session, name: str) -> TokenRow:
    row = session.get(TokenRow, name, with_for_update=True)
    if row is None:
        raise NotFound.among(session.scalars(select(TokenRow.name).order_by(TokenRow.name)), "token", name)
    return row


def _to_record(row: TokenRow) -> Token:
    return Token(row.name, cast(Role, row.role), row.created_by, row.created_at, row.expires_at, row.revoked_at)
