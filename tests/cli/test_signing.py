import json
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import text

from registry import Registry
from registry.database import connect

Run = Callable[..., Result]


@pytest.fixture
def key(run: Run, home: Path) -> Path:
    """A key `release`."""
    assert run("key", "create", "release").exit_code == 0
    return home / "keys" / "release.pem"


def change(home: Path, statement: str) -> None:
    """Change rows behind the back of the triggers."""
    engine = connect(f"sqlite:///{home}/registry.db")
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER prompt_version_frozen_update"))
        connection.execute(text(statement))
    engine.dispose()


def test_a_private_key_is_in_a_file_of_its_owners_and_nowhere_else(run: Run, home: Path, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    secret = key.read_bytes().splitlines()[1]
    assert not any(secret in file.read_bytes() for file in home.rglob("*") if file.is_file() and file != key)
    assert run("key", "list").stdout.split("\t")[:2] == ["release", "valid"]
    assert run("key", "create", "release").exit_code == 2  # its file is there
    assert secret in key.read_bytes()


def test_a_key_that_the_registry_does_not_take_leaves_no_file(run: Run, home: Path, key: Path) -> None:
    key.rename(home / "moved.pem")
    assert run("key", "create", "release").exit_code == 5
    assert run("key", "create", "../release").exit_code == 2
    assert list(key.parent.iterdir()) == []


def test_a_signed_version_is_verified_and_an_unsigned_one_is_not(
    run: Run, registry: Registry, key: Path, tmp_path: Path
) -> None:
    signed = run("prompt", "sign", "sentiment:2", "--key", "release")
    assert (signed.exit_code, signed.stdout.split("\t")[::2]) == (0, ["sentiment:2", "release\n"])
    verified = run("prompt", "verify", "sentiment:2", "-o", "json")
    assert (verified.exit_code, json.loads(verified.stdout)["signatures"]) == (
        0,
        [{"reference": "sentiment:2", "key": "release", "state": "good"}],
    )
    unsigned = run("prompt", "verify", "sentiment:3")
    assert (unsigned.exit_code, unsigned.stdout) == (8, "")
    assert unsigned.stderr == ("error: sentiment:3 is not signed\n  sign it: promptctl prompt sign sentiment:3\n")
    elsewhere = tmp_path / "ci.pem"
    assert run("key", "create", "ci", "--to", str(elsewhere)).exit_code == 0
    assert run("prompt", "sign", "sentiment:2", "--key", str(elsewhere)).exit_code == 0
    assert run("prompt", "verify", "sentiment:2", "-o", "name").stdout.split() == ["ci", "release"]


def test_the_configured_key_signs_what_is_published(
    run: Run, home: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.access import opened
    from orchestrator.settings import Settings

    assert run("prompt", "sign", "sentiment:1").exit_code == 2  # no key to sign with
    monkeypatch.setenv("PROMPTCTL_SIGNING_KEY", "release")
    with opened(Settings()) as registry:
        registry.publish("qa", b"x", {}, idempotency_key="k", actor="ada")
    assert run("prompt", "verify", "qa:1").exit_code == 0
    monkeypatch.setenv("PROMPTCTL_SIGNING_KEY", "lost")
    assert run("prompt", "list").exit_code == 0  # which signs nothing
    assert run("train", "--tasks", "sentiment").exit_code == 3  # at once, and not after hours
    with pytest.raises(FileNotFoundError, match=r"no such key: .*lost\.pem"), opened(Settings()) as registry:
        registry.publish("qa", b"y", {}, idempotency_key="l", actor="ada")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ('UPDATE prompt_version SET card = \'{"method": "mpu"}\' WHERE number = 2', "card, digest or number are not"),
        ("UPDATE prompt_version SET number = 9 WHERE number = 2", "card, digest or number are not"),
        ("INSERT INTO key_revocation VALUES ('release', 'ada', '2026-05-01 00:00:00')", "this key was revoked"),
    ],
)
def test_whatever_was_changed_is_exit_8(
    run: Run, registry: Registry, home: Path, key: Path, statement: str, said: str
) -> None:
    run("prompt", "sign", "sentiment:2", "--key", "release")
    change(home, statement)
    result = run("prompt", "verify", "sentiment:9" if "= 9" in statement else "sentiment:2")
    assert (result.exit_code, said in result.stderr) == (8, True)


def test_a_flipped_byte_of_the_artifact_is_exit_8(run: Run, registry: Registry, home: Path, key: Path) -> None:
    run("prompt", "sign", "sentiment:2", "--key", "release")
    digits = registry.resolve("sentiment:2").digest.removeprefix("sha256:")
    (blob,) = home.rglob(f"blobs/sha256/*/{digits}")
    blob.write_bytes(b"3")
    for command in (("verify", "sentiment:2"), ("sign", "sentiment:2", "--key", "release")):
        result = run("prompt", *command)
        assert (result.exit_code, "it is damaged" in result.stderr) == (8, True)


def test_revoked_and_untrusted_keys_do_not_count(
    run: Run, registry: Registry, home: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("prompt", "sign", "sentiment:2", "--key", "release")
    public = json.loads(run("key", "list", "-o", "json").stdout)["keys"][0]["public"]
    monkeypatch.setenv("PROMPTCTL_TRUSTED_KEYS", f"AAAA,{public}")
    assert run("prompt", "verify", "sentiment:2").exit_code == 0
    monkeypatch.setenv("PROMPTCTL_TRUSTED_KEYS", "AAAA")
    assert run("prompt", "verify", "sentiment:2").exit_code == 8
    monkeypatch.delenv("PROMPTCTL_TRUSTED_KEYS")
    assert run("key", "revoke", "release").exit_code == 0
    assert run("key", "list").stdout.split("\t")[1] == "revoked"
    assert run("prompt", "verify", "sentiment:2").exit_code == 8
    assert run("prompt", "sign", "sentiment:3", "--key", "release").exit_code == 5
    assert run("key", "revoke", "relaese").exit_code == 3


def test_a_server_is_told_what_has_to_be_signed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.settings import Settings
    from serve.replicas.environment import from_environment

    monkeypatch.setenv("PROMPTCTL_REQUIRE_SIGNED", "sentiment, qa-*")
    monkeypatch.setenv("PROMPTCTL_TRUSTED_KEYS", "AAAA BBBB")
    monkeypatch.setenv("PROMPTCTL_DATABASE_URL", f"sqlite:///{home}/registry.db")
    monkeypatch.setenv("PROMPTCTL_STORE_URL", f"{home}/store")
    settings, config = Settings(), from_environment()
    assert settings.require_signed == config.require_signed == ("sentiment", "qa-*")
    assert settings.trusted_keys == config.trusted_keys == ("AAAA", "BBBB")


def test_a_registry_without_a_key_configured_signs_nothing(run: Run, registry: Registry, home: Path) -> None:
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        assert opened.signatures.signed("sentiment:1")[1].signatures == ()
