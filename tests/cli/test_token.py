import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_a_token_is_printed_once_and_alone_on_stdout(run: Run, home: Path) -> None:
    made = run("token", "create", "website")
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("pc_")
    assert made.stderr == "website is a viewer's token, shown only now\n"
    listed = run("token", "list", "-o", "json").stdout
    (record,) = json.loads(listed)["tokens"]
    assert (record["name"], record["role"], record["state"], record["expires_at"]) == (
        *("website", "viewer", "valid", None),
    )
    assert secret not in listed + run("token", "list").stdout
    assert not any(secret.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_program_gets_the_token_with_what_is_known_of_it(run: Run) -> None:
    made = json.loads(run("token", "create", "ci", "--role", "promoter", "--expires", "2w", "-o", "json").stdout)
    token = made["token"]
    assert token["token"].startswith("pc_")
    assert (token["name"], token["role"], token["revoked_at"]) == ("ci", "promoter", None)
    assert token["expires_at"] > token["created_at"]


def test_a_revoked_token_stays_in_the_list(run: Run) -> None:
    run("token", "create", "ci", "--role", "admin")
    assert run("token", "revoke", "ci").exit_code == 0
    assert run("token", "revoke", "ci", "-o", "name").stdout == "ci\n"
    assert run("token", "list").stdout.split("\t")[:3] == ["ci", "admin", "revoked"]


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("revoke", "nobody"), 3),
        (("create", "Big Name"), 2),
        (("create", "ci", "--role", "root"), 2),
        (("create", "ci", "--expires", "soon"), 2),
        (("create", "ci", "--expires", "0d"), 2),
        (("create", "taken"), 5),
    ],
)
def test_each_mistake_has_its_exit_code(run: Run, arguments: tuple[str, ...], exit_code: int) -> None:
    run("token", "create", "taken")
    assert run("token", *arguments).exit_code == exit_code
