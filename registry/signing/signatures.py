"""The registry's keys and signatures: added, revoked, never changed."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError as Refused
from sqlalchemy.orm import Session

from ..database import Database
from ..errors import Conflict, IntegrityError, NotFound
from ..late import LateDatabase
from ..models import PromptRow, VersionRow
from ..records import Version
from ..references import check_name
from ..resolving import resolve
from ..versions import VERSIONS, to_records
from .records import Key, Signature, Signed, Signer
from .statement import statement
from .tables import KeyRow, RevocationRow, SignatureRow

KEYS = select(KeyRow, RevocationRow).outerjoin(RevocationRow, RevocationRow.key == KeyRow.name)


class Signatures:
    """What was signed, and by which keys. Safe to share between threads."""

    def __init__(self, database: Database | LateDatabase) -> None:
        self._database = database

    def create_key(self, name: str, public: str, *, actor: str) -> Key:
        """Make a public key known.

        Raises:
            Conflict: a key has or had that name, or is this one.
        """
        row = KeyRow(name=check_name(name, "key"), public=public, created_by=actor, created_at=datetime.now(UTC))
        with self._database.write() as session:
            session.add(row)
            try:
                session.flush()
            except Refused as error:
                raise Conflict(f"there is or was a key {name!r}", hint="give this one another name") from error
            return _to_key(row, None)

    def keys(self) -> list[Key]:
        """Every key there ever was, by name."""
        with self._database.read() as session:
            return [_to_key(*row) for row in session.execute(KEYS.order_by(KeyRow.name))]

    def revoke_key(self, name: str, *, actor: str) -> Key:
        """Have what this key signed count no more, for good; again changes nothing."""
        with self._database.write() as session:
            key = session.get(KeyRow, name, with_for_update=True)
            if key is None:
                raise NotFound.among(session.scalars(select(KeyRow.name).order_by(KeyRow.name)), "key", name)
            revocation = session.get(RevocationRow, name)
            if revocation is None:
                revocation = RevocationRow(key=name, revoked_by=actor, revoked_at=datetime.now(UTC))
                session.add(revocation)
                session.flush()
            return _to_key(key, revocation)

    def check_signer(self, signer: Signer) -> Key:
        """The key that the signer holds, if it counts."""
        with self._database.read() as session:
            return known_key(session, signer)

    def sign(self, reference: str, signer: Signer, *, actor: str) -> tuple[Version, Key]:
        """Sign a version; with the same key again changes nothing."""
        with self._database.write() as session:
            version = resolve(session, reference)
            return version, sign(session, version, signer, actor)

    def signed(self, reference: str) -> tuple[Version, Signed]:
        """The version, and what was signed of it."""
        with self._database.read() as session:
            version = resolve(session, reference)
            return version, Signed(statement(version), _signatures(session, version.id))

    def of(self, version: Version) -> Signed:
        """What was signed of a version that somebody has in hand, as the registry knows it by its name and number.

        Raises:
            IntegrityError: the registry has no such version, or one of other bytes.
        """
        same = (PromptRow.name == version.name, VersionRow.number == version.number, VersionRow.state != "PENDING")
        with self._database.read() as session:
            found = to_records(session, session.execute(VERSIONS.where(*same)).all())
            if not found or found[0].digest != version.digest:
                raise IntegrityError(f"the registry has no {version.reference} with {version.digest}")
            return Signed(statement(found[0]), _signatures(session, found[0].id))


def sign(session: Session, version: Version, signer: Signer, actor: str) -> Key:
    """Add the signature of a version; the key it was made with."""
    key = known_key(session, signer)
    session.get_one(VersionRow, version.id, with_for_update={"key_share": True})  # one who signs at a time
    signature = signer.sign(statement(version).encoded())
    before = session.get(SignatureRow, (version.id, key.name))
    if before is None:
        now = datetime.now(UTC)
        row = SignatureRow(version_id=version.id, key=key.name, signature=signature, signed_by=actor, signed_at=now)
        session.add(row)
        session.flush()
    elif before.signature != signature:
        raise IntegrityError(
            f"{version.reference} is not what key {key.name!r} signed on {before.signed_at:%Y-%m-%d}",
            hint="publish it again, or sign it with another key",
        )
    return key


def known_key(session: Session, signer: Signer) -> Key:
    """The signer's key."""
    row = session.execute(KEYS.where(KeyRow.public == signer.public)).first()
    if row is None:
        raise NotFound(
            f"the registry does not know the signing key {signer.public}", hint="promptctl key create NAME makes one"
        )
    key = _to_key(*row)
    if key.revoked_at is not None:
        raise Conflict(f"key {key.name!r} was revoked on {key.revoked_at:%Y-%m-%d}", hint="sign with another key")
    return key


def _signatures(session: Session, version_id: int) -> tuple[Signature, ...]:
    query = (
        select(SignatureRow, KeyRow.public, RevocationRow.key)
        .outerjoin(KeyRow, KeyRow.name == SignatureRow.key)
        .outerjoin(RevocationRow, RevocationRow.key == SignatureRow.key)
        .where(SignatureRow.version_id == version_id)
        .order_by(SignatureRow.key)
    )
    return tuple(
        Signature(row.key, public, row.signature, revoked is not None)
        for row, public, revoked in session.execute(query)
    )


def _to_key(row: KeyRow, revocation: RevocationRow | None) -> Key:
    revoked = (revocation.revoked_by, revocation.revoked_at) if revocation else (None, None)
    return Key(row.name, row.public, row.created_by, row.created_at, *revoked)
