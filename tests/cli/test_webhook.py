import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from registry import Move, Registry
from tests.webhooks.receiver import Receiver, receiving, status

Run = Callable[..., Result]
URL = "https://ops.example.org/prompts"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("PROMPTCTL_WEBHOOK_NETWORKS", "127.0.0.0/8 10.0.0.0/8")
    with receiving() as there:
        yield there


def test_a_secret_is_printed_once_and_alone_on_stdout(run: Run, home: Path) -> None:
    made = run("webhook", "create", "ops", "--url", URL)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    assert made.stderr == "ops is told from now on; its secret is shown only now\n"
    listed = run("webhook", "list", "-o", "json").stdout
    (record,) = json.loads(listed)["webhooks"]
    assert (record["name"], record["url"], record["waiting"]) == ("ops", URL, 0)
    assert "sealed" not in record
    assert not any(secret.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_promotion_is_delivered(run: Run, registry: Registry, receiver: Receiver) -> None:
    assert run("webhook", "deliver").exit_code == 0  # to nobody
    assert run("webhook", "create", "ops", "--url", receiver.url).exit_code == 0
    registry.promote([Move("sentiment:2")], actor="ada")
    assert run("webhook", "list").stdout.split("\t")[2:5] == ["0", "1", "0"]
    done = run("webhook", "deliver", "--once")
    assert (done.exit_code, done.stderr) == (0, f"ops {receiver.ids[0]} attempt 1: delivered\n")
    assert json.loads(receiver.got[0][1])["data"]["prompt"] == "sentiment"
    assert run("webhook", "list").stdout.split("\t")[2:5] == ["1", "0", "0"]
    assert run("webhook", "deliver").stderr == ""


def test_a_test_is_sent_at_once(run: Run, home: Path, receiver: Receiver) -> None:
    run("webhook", "create", "ops", "--url", receiver.url)
    done = run("webhook", "test", "ops", "-o", "json")
    assert json.loads(done.stdout)["webhook"] == {"name": "ops", "url": receiver.url, "status": 204}
    assert json.loads(receiver.got[0][1])["type"] == "ping"
    receiver.answers.append(status(404))
    refused = run("webhook", "test", "ops")
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        7,
        "error: ops did not take the message: answered 404",
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("create", "ops", "--url", "http://127.0.0.1:9/"), 2),
        (("create", "ops", "--url", "ftp://example.org/"), 2),
        (("create", "ops"), 2),
        (("create", "Big Name", "--url", URL), 2),
        (("create", "taken", "--url", URL), 5),
        (("test", "nobody"), 3),
        (("delete", "nobody"), 3),
        (("delete", "taken"), 0),
    ],
)
def test_each_mistake_has_its_exit_code(run: Run, arguments: tuple[str, ...], exit_code: int) -> None:
    run("webhook", "create", "taken", "--url", URL)
    assert run("webhook", *arguments).exit_code == exit_code


def test_without_the_key_that_opens_secrets_nothing_is_delivered(run: Run, home: Path, registry: Registry) -> None:
    run("webhook", "create", "ops", "--url", URL)
    registry.promote([Move("sentiment:2")], actor="ada")
    (home / "webhook.key").unlink()
    done = run("webhook", "deliver")
    assert (done.exit_code, "no such file" in done.stderr) == (8, True)
    assert registry.webhooks.all()[0].waiting == 1
