"""Tokens: shown once, kept as hashes, and once revoked revoked for good."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as Refused

from registry import Conflict, Invalid, NotFound
from registry.database import connect
from registry.tokens import ROLES, Token, Tokens, hash_of_secret

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def tokens(database: str) -> Iterator[Tokens]:
    opened = Tokens.open(database)
    yield opened
    opened.close()


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


def test_a_secret_is_random_and_only_its_hash_is_kept(tokens: Tokens, raw: Engine) -> None:
    made, secret = tokens.create("ci", "viewer", actor="ada")
    _, other = tokens.create("ci-2", "viewer", actor="ada")
    assert secret.startswith("pc_")
    assert len(secret) == 3 + 43  # 32 bytes in base64 without padding
    assert secret != other
    with raw.connect() as connection:
        rows = connection.execute(text("SELECT * FROM api_token")).all()
    assert not any(secret in str(value) or secret[3:] in str(value) for row in rows for value in row)
    assert hash_of_secret(secret) == sha256(secret.encode()).hexdigest()
    assert tokens.by_hash()[hash_of_secret(secret)] == made


def test_each_role_may_do_what_those_before_it_may() -> None:
    tokens = [Token("t", role, "ada", NOON, None, None) for role in ROLES]
    assert [[token.may(role) for role in ("viewer", "trainer", "promoter", "admin")] for token in tokens] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_a_token_is_valid_until_it_expires_or_is_revoked() -> None:
    later = NOON + timedelta(hours=1)
    expiring = Token("t", "viewer", "ada", NOON, later, None)
    assert [expiring.valid(at) for at in (NOON, later - timedelta(microseconds=1), later)] == [True, True, False]
    assert not Token("t", "viewer", "ada", NOON, None, NOON).valid(NOON)
    assert Token("t", "viewer", "ada", NOON, None, None).valid(later)


def test_a_name_is_never_given_to_another_token(tokens: Tokens) -> None:
    tokens.create("ci", "admin", actor="ada")
    for _ in range(2):
        with pytest.raises(Conflict, match="there is or was a token 'ci'"):
            tokens.create("ci", "viewer", actor="eve")
        tokens.revoke("ci")
    assert [token.role for token in tokens.issued()] == ["admin"]


def test_a_revoked_token_is_listed_and_lets_nobody_in(tokens: Tokens) -> None:
    _, secret = tokens.create("ci", "viewer", actor="ada")
    tokens.create("other", "trainer", actor="ada")
    revoked = tokens.revoke("ci")
    assert revoked.revoked_at is not None
    assert tokens.revoke("ci") == revoked  # again changes nothing
    assert hash_of_secret(secret) not in tokens.by_hash()
    assert [token.name for token in tokens.issued()] == ["ci", "other"]
    with pytest.raises(NotFound, match="unknown token 'othre'") as raised:
        tokens.revoke("othre")
    assert raised.value.hint == "did you mean other?"


def test_what_is_no_token_is_refused(tokens: Tokens) -> None:
    with pytest.raises(Invalid, match="'A b' is no token name"):
        tokens.create("A b", "viewer", actor="ada")
    with pytest.raises(Invalid, match="lets nobody in"):
        tokens.create("old", "viewer", actor="ada", expires_at=NOON - timedelta(days=365))
    assert tokens.issued() == []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE api_token SET revoked_at = NULL", "stays revoked"),
        ("UPDATE api_token SET role = 'admin'", "stays revoked"),
        ("DELETE FROM api_token", "stays revoked"),
        (
            "INSERT INTO api_token SELECT 'b', 'root', 'x', created_by, created_at, NULL, NULL FROM api_token",
            "(?i)check",
        ),
    ],
)
def test_the_database_itself_brings_no_revoked_token_back(
    tokens: Tokens, raw: Engine, statement: str, reason: str
) -> None:
    tokens.create("ci", "viewer", actor="ada")
    before = tokens.revoke("ci")
    with pytest.raises(Refused, match=reason), raw.begin() as connection:
        connection.execute(text(statement))
    assert tokens.issued() == [before]
