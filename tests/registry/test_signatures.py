"""Signatures: over the card and the digest, by keys that are known and not revoked, and never changed."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as Refused

from registry import Conflict, IntegrityError, Invalid, NotFound, Registry
from registry.database import connect
from registry.signing.ed25519 import PrivateKey, verifies
from registry.signing.statement import Statement
from registry.signing.verification import check, fault

KEY, OTHER = PrivateKey.new(), PrivateKey.new()


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


@pytest.fixture
def signed(registry: Registry, publish: Any) -> Registry:
    """Two versions, the first of them signed."""
    publish()
    publish()
    registry.signatures.create_key("release", KEY.public, actor="ada")
    registry.signatures.sign("sentiment:1", KEY, actor="ada")
    return registry


def change(raw: Engine, table: str, statement: str) -> None:
    """Change rows behind the back of the triggers."""
    with raw.begin() as connection:
        if raw.dialect.name == "postgresql":
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        else:
            connection.execute(text(f"DROP TRIGGER {table}_frozen_update"))
            connection.execute(text(f"DROP TRIGGER {table}_frozen_delete"))
        connection.execute(text(statement))


def test_what_is_signed_has_its_type_and_its_lengths_before_it() -> None:
    said = Statement("qa", 3, "sha256:ab", "sha256:cd").encoded()
    payload = b'{"card":"sha256:cd","digest":"sha256:ab","name":"qa","number":3}'
    assert len(payload) == 64
    assert len(b"application/vnd.promptctl.version+json") == 38
    assert said == b"DSSEv1 38 application/vnd.promptctl.version+json 64 " + payload


def test_a_key_is_rfc_8032s() -> None:
    """Section 7.1, test 2: a key that others made signs as they say."""
    pkcs8 = bytes.fromhex(
        "302e020100300506032b657004220420" + "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    )
    pem = b"-----BEGIN PRIVATE KEY-----\n" + b64encode(pkcs8) + b"\n-----END PRIVATE KEY-----\n"
    key = PrivateKey.read(pem)
    assert b64decode(key.public).hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert b64decode(key.sign(b"\x72")).hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert PrivateKey.read(key.pem).public == key.public
    with pytest.raises(Invalid, match="no Ed25519 private key"):
        PrivateKey.read(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def test_what_is_no_signature_verifies_nothing() -> None:
    assert not any(verifies(KEY.public, signature, b"m") for signature in ("", "AAAA", "*", "a" * 88, "ü"))
    assert not verifies("AAAA", KEY.sign(b"m"), b"m")
    assert verifies(KEY.public, KEY.sign(b"m"), b"m")


def test_a_signed_version_passes_and_signing_it_again_changes_nothing(signed: Registry) -> None:
    _, found = signed.signatures.signed("sentiment:1")
    assert check(found) == ("release",)
    again, key = signed.signatures.sign("sentiment:1", KEY, actor="bob")
    assert (again.reference, key.name) == ("sentiment:1", "release")
    assert signed.signatures.signed("sentiment:1")[1] == found == signed.signatures.of(again)
    with pytest.raises(IntegrityError, match="sentiment:2 is not signed"):
        check(signed.signatures.signed("sentiment:2")[1])


def test_one_signature_that_counts_is_enough(signed: Registry) -> None:
    signed.signatures.create_key("other", OTHER.public, actor="bob")
    signed.signatures.sign("sentiment:1", OTHER, actor="bob")
    signed.signatures.revoke_key("release", actor="ada")
    _, found = signed.signatures.signed("sentiment:1")
    assert check(found) == ("other",)
    with pytest.raises(IntegrityError, match=r"this key is not among the trusted ones; release: this key was revoked"):
        check(found, [KEY.public])


def test_every_part_of_the_statement_counts(signed: Registry) -> None:
    _, found = signed.signatures.signed("sentiment:1")
    (one,) = found.signatures
    assert fault(found.statement, one) is None
    for changed in ({"name": "topic"}, {"number": 9}, {"digest": "sha256:0"}, {"card": "sha256:0"}):
        assert fault(replace(found.statement, **changed), one) == "card, digest or number are not what was signed"


@pytest.mark.parametrize(
    ("table", "statement", "why"),
    [
        ("prompt_version", 'UPDATE prompt_version SET card = \'{"form": "prefiy"}\'', "are not what was signed"),
        ("prompt_version", "UPDATE prompt_version SET digest = 'sha256:0' WHERE number = 1", "are not what was signed"),
        ("version_signature", "UPDATE version_signature SET signature = 'AAAA'", "are not what was signed"),
        ("version_signature", "UPDATE version_signature SET version_id = version_id + 1", "sentiment:1 is not signed"),
        ("version_signature", "DELETE FROM version_signature", "sentiment:1 is not signed"),
    ],
)
def test_what_was_changed_behind_the_triggers_does_not_pass(
    signed: Registry, raw: Engine, table: str, statement: str, why: str
) -> None:
    change(raw, table, statement)
    with pytest.raises(IntegrityError, match=why):
        check(signed.signatures.signed("sentiment:1")[1])
    if "signature =" in statement:
        with pytest.raises(IntegrityError, match="is not what key 'release' signed"):
            signed.signatures.sign("sentiment:1", KEY, actor="ada")


def test_a_key_that_the_registry_lost_counts_no_more(signed: Registry, raw: Engine) -> None:
    with raw.connect() as connection:
        if raw.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))
        else:
            connection.execute(text("COMMIT"))
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.execute(text("DROP TRIGGER signing_key_frozen_delete"))
        connection.execute(text("DELETE FROM signing_key"))
        if raw.dialect.name == "postgresql":
            connection.commit()
    with pytest.raises(IntegrityError, match="release: the registry does not know this key"):
        check(signed.signatures.signed("sentiment:1")[1])


def test_only_a_known_key_that_is_not_revoked_signs(signed: Registry) -> None:
    with pytest.raises(NotFound, match="does not know the signing key"):
        signed.signatures.sign("sentiment:2", OTHER, actor="ada")
    revoked = signed.signatures.revoke_key("release", actor="bob")
    assert (revoked.revoked_by, signed.signatures.revoke_key("release", actor="eve")) == ("bob", revoked)
    with pytest.raises(Conflict, match="key 'release' was revoked"):
        signed.signatures.sign("sentiment:2", KEY, actor="ada")
    with pytest.raises(Conflict, match="there is or was a key 'release'"):
        signed.signatures.create_key("release", OTHER.public, actor="ada")
    with pytest.raises(Conflict, match="there is or was a key 'again'"):
        signed.signatures.create_key("again", KEY.public, actor="ada")
    assert signed.signatures.keys() == [revoked]
    with pytest.raises(NotFound, match="unknown key 'relaese'"):
        signed.signatures.revoke_key("relaese", actor="ada")


def test_what_is_published_with_a_key_is_signed_in_the_same_moment(database: str, store: str, signed: Registry) -> None:
    given: dict[str, Any] = {"idempotency_key": "k", "actor": "ada"}
    signing = Registry.open(database, store, signer=KEY)
    version = signing.publish("qa", b"x", {"form": "prefix", "lr": 0.1}, **given)
    assert check(signed.signatures.of(version)) == ("release",)
    assert signing.publish("qa", b"x", {"form": "prefix", "lr": 0.1}, **given) == version
    signed.signatures.revoke_key("release", actor="ada")
    with pytest.raises(Conflict, match="was revoked"):
        signing.publish("qa", b"y", {}, idempotency_key="l", actor="ada")
    assert [one.number for one in signed.versions("qa")] == [1]  # refused before anything was begun
    signing.close()


def test_the_database_itself_changes_no_signature(signed: Registry, raw: Engine) -> None:
    signed.signatures.revoke_key("release", actor="ada")
    before = signed.signatures.keys(), signed.signatures.signed("sentiment:1")
    for statement, reason in (
        ("UPDATE signing_key SET public = 'x'", "append-only"),
        ("DELETE FROM signing_key", "(?i)append-only|foreign key"),
        ("UPDATE key_revocation SET revoked_by = 'x'", "stays revoked"),
        ("DELETE FROM key_revocation", "stays revoked"),
        ("UPDATE version_signature SET signature = 'x'", "append-only"),
        ("DELETE FROM version_signature", "append-only"),
        ("INSERT INTO version_signature SELECT 2, 'nobody', 'x', 'x', signed_at FROM version_signature", "(?i)foreign"),
    ):
        with pytest.raises(Refused, match=reason), raw.begin() as connection:
            connection.execute(text(statement))
    assert (signed.signatures.keys(), signed.signatures.signed("sentiment:1")) == before
