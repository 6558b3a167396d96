"""Delivery: at least once whatever dies, each message signed, and never to an address that may not be told."""

import hmac
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from orchestrator.webhooks import delivering, sending
from orchestrator.webhooks.addresses import networks
from orchestrator.webhooks.delivering import Deliverer, pause
from orchestrator.webhooks.errors import SealBroken
from orchestrator.webhooks.seal import FILE, Seal, new_secret
from registry import Move, Registry
from registry.webhooks.outbox import Delivery, Outcome

from .receiver import Receiver, status

HERE = networks(["127.0.0.0/8"])
Deliver = Callable[..., list[str]]


@pytest.fixture
def deliver(registry: Registry, home: Path) -> Deliver:
    """Deliver what is due; what was said of each attempt."""

    def deliver(lease: timedelta = delivering.LEASE, allowed: tuple = HERE) -> list[str]:  # pyright: ignore[reportMissingTypeArgument] - networks
        said: list[str] = []

        def say(delivery: Delivery, outcome: Outcome) -> None:
            said.append(f"{delivery.attempt}: {outcome.fault or outcome.status}")

        Deliverer(registry.webhooks, Seal.of(home), allowed, lease).once(say)
        return said

    return deliver


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not taken is due again at once, but not in the same look."""
    monkeypatch.setattr(delivering, "pause", lambda _: timedelta(seconds=0.05))


def test_a_message_is_delivered_with_its_id_and_a_signature_that_its_receiver_can_check(
    registry: Registry, receiver: Receiver, deliver: Deliver, secret: str
) -> None:
    registry.promote([Move("sentiment:2")], actor="ada")
    assert deliver() == ["1: 204"]
    assert deliver() == []
    ((headers, body),) = receiver.got
    message = json.loads(body)
    assert (message["id"], message["type"], message["data"]["new"]) == (headers["webhook-id"], "alias.set", 2)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    ours = hmac.new(b64decode(secret.removeprefix("whsec_")), signed, sha256).digest()
    assert headers["webhook-signature"] == f"v1,{b64encode(ours).decode()}"
    assert headers["content-type"] == "application/json"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Their reference implementations' test vector."""
    headers = dict(
        sending.signed(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        )
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.usefixtures("at_once")
def test_what_is_not_taken_is_tried_again_with_the_same_id_and_body(
    registry: Registry, receiver: Receiver, deliver: Deliver
) -> None:
    receiver.answers += [status(500), status(302, Location=receiver.url), lambda handler: handler.connection.close()]
    registry.promote([Move("sentiment:2")], actor="ada")
    said = []
    while len(said) < 4:
        said += deliver()
        time.sleep(0.02)
    assert said[:2] + said[3:] == ["1: answered 500", "2: answered 302", "4: 204"]  # no redirect is followed
    assert said[2] in ("3: RemoteProtocolError", "3: ReadError")
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.got}) == 1
    assert registry.webhooks.all()[0].delivered == 1


def test_who_answers_too_slowly_holds_nobody_else_up(
    registry: Registry, receiver: Receiver, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "DEADLINE_S", 0.3)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(20):  # a byte at a time, so that no single read takes long
                handler.wfile.write(b"H")
                time.sleep(0.05)
        except OSError:
            pass

    receiver.answers.append(drip)
    registry.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    started = time.perf_counter()
    assert sorted(deliver()) == ["1: 204", "1: timed out"]
    assert time.perf_counter() - started < 0.9


def test_a_message_that_was_committed_survives_whoever_committed_it(
    registry: Registry, receiver: Receiver, home: Path, deliver: Deliver
) -> None:
    """Killed right after the commit: nothing is left of the process, and the message is still in line."""
    code = (
        "import os, sys; from registry import Move, Registry\n"
        f"registry = Registry.open('sqlite:///{home}/registry.db', '{home}/store')\n"
        "registry.promote([Move('sentiment:1')], actor='ada'); os._exit(99)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 99
    assert receiver.got == []
    assert deliver() == ["1: 204"]


def test_a_deliverer_that_is_killed_before_it_marks_a_message_leaves_it_to_the_next(
    registry: Registry, receiver: Receiver, home: Path, deliver: Deliver
) -> None:
    """Killed when the receiver has the message, and nobody noted so: it comes a second time, with the same id."""
    registry.promote([Move("sentiment:1")], actor="ada")
    code = (
        "import os; from datetime import timedelta; from pathlib import Path\n"
        "from orchestrator.webhooks.addresses import networks\n"
        "from orchestrator.webhooks.delivering import Deliverer\n"
        "from orchestrator.webhooks.seal import Seal; from registry import Registry\n"
        f"registry = Registry.open('sqlite:///{home}/registry.db', '{home}/store')\n"
        "registry.webhooks.settle = lambda *_: os._exit(99)\n"
        f"lease, allowed = timedelta(seconds=0.2), networks(['127.0.0.0/8'])\n"
        f"Deliverer(registry.webhooks, Seal.of(Path('{home}')), allowed, lease).once(print)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 99
    assert len(receiver.got) == 1
    time.sleep(0.2)
    assert deliver() == ["2: 204"]
    assert len(receiver.got) == 2
    assert len(set(receiver.ids)) == 1
    assert deliver() == []


def test_who_watches_tells_what_happens_later_until_interrupted(
    registry: Registry, receiver: Receiver, home: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PROMPTCTL_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    command = [sys.executable, "-m", "orchestrator.cli.main", "webhook", "deliver", "--watch"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for number in (1, 2):
            registry.promote([Move(f"sentiment:{number}")], actor="ada")
            deadline = time.monotonic() + 20
            while len(receiver.got) < number:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert "attempt 1: delivered" in process.stderr.read()


def test_private_addresses_are_not_told_by_default_not_even_by_another_name(
    registry: Registry, receiver: Receiver, deliver: Deliver, home: Path, secret: str
) -> None:
    by_name = receiver.url.replace("127.0.0.1", "localhost")
    registry.webhooks.create("name", by_name, Seal.of(home).close(secret), actor="ada")
    registry.promote([Move("sentiment:1")], actor="ada")
    assert deliver(allowed=()) == ["1: not a public address"] * 2
    assert receiver.got == []


def test_a_name_that_is_another_address_when_it_is_connected_to_is_refused(
    registry: Registry, receiver: Receiver, deliver: Deliver, home: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a public address at the first look, and ours at the second; there is only one look."""
    port, looks, resolve = int(receiver.url.split(":")[2].split("/")[0]), [], socket.getaddrinfo

    def rebound(host: str, *arguments: object, **options: object) -> object:
        if host != "rebound.example.org":
            return resolve(host, *arguments, **options)  # pyright: ignore[reportArgumentType]
        looks.append(host)
        address = "192.0.2.1" if len(looks) > 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    registry.webhooks.delete("ops")
    registry.webhooks.create("ops", f"http://rebound.example.org:{port}/", Seal.of(home).close(secret), actor="ada")
    registry.promote([Move("sentiment:1")], actor="ada")
    assert deliver() == ["1: 204"]  # the address that was checked is the one that was connected to
    assert looks == ["rebound.example.org"]
    registry.promote([Move("sentiment:2")], actor="ada")
    assert deliver() == ["1: not a public address"]
    assert receiver.got[0][0]["host"] == f"rebound.example.org:{port}"


def test_the_pause_doubles_up_to_an_hour_with_chance_in_it() -> None:
    longest = [pause(attempt, lambda: 1.0).total_seconds() for attempt in (1, 2, 3, 11, 12, 10_000)]
    assert longest == [2, 4, 8, 2048, 3600, 3600]  # 2 * 2**10 = 2048
    assert pause(3, lambda: 0.0).total_seconds() == 4
    assert len({pause(5) for _ in range(20)}) > 1


def test_a_secret_is_kept_sealed_and_opens_only_with_its_own_key(home: Path, registry: Registry, secret: str) -> None:
    _, sealed = registry.webhooks.address("ops")
    assert Seal.of(home).open(sealed) == b64decode(secret.removeprefix("whsec_"))
    kept = [file for file in home.rglob("*") if file.is_file()]
    assert not any(secret.encode() in file.read_bytes() or secret[6:].encode() in file.read_bytes() for file in kept)
    key = home / FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.rename(home / "old")
    with pytest.raises(SealBroken, match="no such file"):
        Seal.of(home)
    other = Seal.made(home)
    assert other.close(new_secret()) != sealed
    with pytest.raises(SealBroken, match="was not sealed with"):
        other.open(sealed)
    key.write_bytes(b"x")
    with pytest.raises(SealBroken, match="holds no key"):
        Seal.made(home)


def test_a_secret_that_cannot_be_opened_keeps_no_other_message(
    registry: Registry, receiver: Receiver, deliver: Deliver
) -> None:
    registry.webhooks.create("broken", receiver.url, "no seal", actor="ada")
    registry.promote([Move("sentiment:1")], actor="ada")
    said = sorted(deliver())
    assert said[0] == "1: 204"
    assert "was not sealed with" in said[1]
