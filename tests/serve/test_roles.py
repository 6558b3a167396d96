"""Commands that ask a server: each with a token of each role, against a server that asks for one."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from methods import Artifact
from orchestrator.cli.main import cli
from registry import Move, Registry
from registry.roles import NEEDED, ROLES, Action, may
from registry.tokens import Tokens
from serve.config import ServeConfig

from .conftest import SENTIMENT, Publish
from .live import live
from .servers import GOOD, free_port, start, stop

CALLS: dict[Action, tuple[tuple[str, ...], ...]] = {
    "ask": (("query", "sentiment", GOOD["text"], "-o", "json"),),
    "see": (("serve", "status"), ("top", "--once")),
    "correct": (
        ("feedback", "send", "sentiment", "--text", GOOD["text"], "--label", "negative"),
        ("feedback", "drop", "sentiment"),
    ),
}


@pytest.fixture
def elsewhere(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish, tmp_path: Path
) -> ServeConfig:
    for seed in (1, 2):
        publish("sentiment", make(SENTIMENT, seed))
    registry.promote([Move("sentiment:1")], actor="ada")
    return replace(config, host="0.0.0.0")


@pytest.fixture
def tokens(elsewhere: ServeConfig) -> Iterator[Tokens]:
    with closing(Tokens.open(elsewhere.database_url)) as opened:
        yield opened


@pytest.fixture
def secrets(tokens: Tokens) -> dict[str, str]:
    return {role: tokens.create(role, role, actor="ada")[1] for role in ROLES}


def test_the_roles_and_what_they_may() -> None:
    assert {action: [role for role in ROLES if may(role, action)] for action in NEEDED} == {
        "ask": ["viewer", "trainer", "promoter", "admin"],
        "see": ["viewer", "trainer", "promoter", "admin"],
        "correct": ["trainer", "promoter", "admin"],
        "follow": ["promoter", "admin"],
        "administer": ["admin"],
    }


def test_each_command_takes_the_role_that_its_action_takes(elsewhere: ServeConfig, secrets: dict[str, str]) -> None:
    with live(elsewhere) as address:

        def run(arguments: tuple[str, ...], token: str | None = None) -> Result:
            environment = {"PROMPTCTL_SERVER": f"http://{address}", "PROMPTCTL_TOKEN": token}
            environment |= {
                "PROMPTCTL_DATABASE_URL": elsewhere.database_url,
                "PROMPTCTL_STORE_URL": elsewhere.store_url,
            }
            return CliRunner().invoke(cli, arguments, env=environment)

        for action, commands in CALLS.items():
            for command in commands:
                alone = run(command)
                if command[0] != "top":  # which goes on looking, and says what it met
                    assert (alone.exit_code, f"--role {NEEDED[action]}" in alone.stderr) == (4, True), command
                for role in ROLES:
                    done = run(command, secrets[role])
                    refused = not may(role, action)
                    assert done.exit_code == (4 if refused else 0), (command, role, done.output)
                    assert not refused or f"this takes a {NEEDED[action]}'s" in done.stderr
        for number, role in enumerate((None, *ROLES)):
            said = run(("promote", f"sentiment:{2 - number % 2}"), role and secrets[role]).stderr
            allowed = role is not None and may(role, "follow")
            assert ("serves epoch" in said, "takes a promoter's PROMPTCTL_TOKEN" in said) == (allowed, not allowed)


def test_a_running_server_lets_a_revoked_token_in_for_less_than_five_seconds(
    elsewhere: ServeConfig, tokens: Tokens, secrets: dict[str, str]
) -> None:
    at = replace(elsewhere, port=free_port())
    process, said = start(at, "--local", "--host", "0.0.0.0")
    try:
        assert "serves on" in said[-1], said

        def status(secret: str) -> int:
            headers = {"Authorization": f"Bearer {secret}"}
            return httpx.get(f"http://127.0.0.1:{at.port}/v1/status", headers=headers, trust_env=False).status_code

        assert status(secrets["viewer"]) == 200
        tokens.revoke("viewer")
        revoked = time.monotonic()
        while status(secrets["viewer"]) == 200:
            assert time.monotonic() - revoked < 5
            time.sleep(0.05)
        assert status(secrets["viewer"]) == 401
        assert status(secrets["trainer"]) == 200
    finally:
        stop(process)
