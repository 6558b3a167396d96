"""Processes that publish, promote and upgrade at once, or die on the way; each job prints what it saw.

A job forks from a parent that has no connection and no thread of its own, so only the first import is paid.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

from sqlalchemy import Engine, event

import registry
from registry import Conflict, Move, Registry, Unavailable

KILLED = 99


def fork(act: Callable[[], None]) -> int:
    """Run `act` in a process of its own, which ends with 0, or with 1 and a traceback."""
    if (child := os.fork()) == 0:
        try:
            act()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return child


def say(*values: object) -> None:
    os.write(1, (" ".join(map(str, values)) + "\n").encode())


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_once(processes: int, act: Callable[[int], None]) -> None:
    start = time.monotonic() + 0.2

    def run(number: int) -> None:
        time.sleep(max(0, start - time.monotonic()))
        act(number)

    children = [fork(lambda number=number: run(number)) for number in range(processes)]
    codes = [wait(child) for child in children]
    assert not any(codes), codes


def publish(url: str, store: str, processes: str, versions: str, shared_key: str) -> None:
    """Every process publishes so many versions of one prompt, or all the same one under a shared key."""

    def act(number: int) -> None:
        with closing(Registry.open(url, store)) as opened:
            for step in range(int(versions)):
                key = shared_key or f"{number}-{step}"
                version = opened.publish("race", key.encode(), {}, idempotency_key=key, actor=str(number))
                say(version.number)

    at_once(int(processes), act)


def promote(url: str, store: str, processes: str, rounds: str) -> None:
    """Every process moves one alias between versions 1 and 2, each time from the generation that it last saw."""

    def act(number: int) -> None:
        with closing(Registry.open(url, store)) as opened:
            for _ in range(int(rounds)):
                last = next(iter(opened.history("race")), None)
                seen, target = (last.generation, 3 - last.new) if last else (0, 1)
                try:
                    opened.promote([Move(f"race:{target}", expected_generation=seen)], actor=str(number))
                    say("won")
                except Conflict:
                    say("lost")

    at_once(int(processes), act)


def claim(url: str, store: str, processes: str) -> None:
    """Every process claims messages, a few at a time, until none are left."""

    def act(_: int) -> None:
        with closing(Registry.open(url, store)) as opened:
            while claimed := opened.webhooks.claim(3, timedelta(minutes=1)):
                for delivery in claimed:
                    say(delivery.id)

    at_once(int(processes), act)


def upgrade(url: str, processes: str) -> None:
    """Every process upgrades the same database."""
    at_once(int(processes), lambda _: say(registry.upgrade(url)))


def open_registry(url: str, store: str) -> None:
    """Say at which revision the database is after opening it, or why it did not open."""
    try:
        Registry.open(url, store).close()
        say(registry.current(url))
    except Unavailable as error:
        say(error)


def killed_publish(url: str, store: str) -> None:
    """Publish in a process killed at its first step, then in one killed at its second, until one survives."""

    def act() -> None:
        with closing(Registry.open(url, store)) as opened:
            opened.publish("race", b"soft", {}, idempotency_key="k", actor="ada")

    for step in count(1):
        code = wait(fork(lambda step=step: die_at(step, Path(store), act)))
        with closing(Registry.open(url, store)) as opened:
            versions = opened.versions("race") if opened.prompts() else []
            ready = [version for version in versions if version.state == "READY"]
            assert all(opened.fetch(version) == b"soft" for version in ready)
            say(code, len(versions), len(ready))
        if code != KILLED:
            return


def killed_upgrade(url: str) -> None:
    """Upgrade in a process killed at its first statement, then at its second, until one survives."""
    registry.check(url)
    for step in count(1):
        code = wait(fork(lambda step=step: die_at(step, None, lambda: say(registry.upgrade(url)))))
        say(code, registry.current(url))
        if code != KILLED:
            return


def die_at(step: int, store: Path | None, act: Callable[[], object]) -> None:
    """Die without a word at the given step, where each statement, commit and file operation is a step."""
    steps: Iterator[int] = count(1)

    def die(*_: object) -> None:
        if next(steps) == step:
            os._exit(KILLED)

    def die_at_files(name: str, arguments: tuple[object, ...]) -> None:
        if name in ("open", "os.mkdir", "os.rename", "os.remove") and str(store) in str(arguments[0]):
            die()

    def die_at_statements(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("PRAGMA"):  # SQLite's questions about a table, of which there are very many
            die()

    for moment in ("begin", "commit"):
        event.listen(Engine, moment, die)
    event.listen(Engine, "before_cursor_execute", die_at_statements)
    if store is not None:
        sys.addaudithook(die_at_files)
    act()


if __name__ == "__main__":
    jobs = [publish, promote, claim, upgrade, open_registry, killed_publish, killed_upgrade]
    {job.__name__: job for job in jobs}[sys.argv[1]](*sys.argv[2:])
