from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.webhooks.seal import Seal, new_secret
from registry import Registry

from .receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as there:
        yield there


@pytest.fixture
def secret() -> str:
    return new_secret()


@pytest.fixture
def registry(home: Path, receiver: Receiver, secret: str) -> Iterator[Registry]:
    """A registry with two versions of sentiment, whose events the receiver is told."""
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        for number in (1, 2):
            opened.publish("sentiment", b"%d" % number, {}, idempotency_key=f"{number}", actor="ada")
        opened.webhooks.create("ops", receiver.url, Seal.made(home).close(secret), actor="ada")
        yield opened
