"""The whole loop on the demo tasks, as the commands a user would type: train, promote, serve, query.

A prompt that is in production already is not trained again.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import httpx

from .access import opened
from .settings import Settings

TASKS = ("qa", "sentiment")
QUERIES = (
    ("sentiment", "a gorgeous, witty film"),
    ("sentiment", "the room was cold and nobody at the desk cared"),
    (
        "qa",
        "--question",
        "Who repaired the bridge?",
        "--context",
        "Ilse Varga repaired the old bridge in 1911. Her brother Tomas, a painter, lived beside it until 1930.",
    ),
)
READY_S = 180  # how long the server may take to load the backbone
STOP_S = 60


def main() -> None:
    """Run the loop once."""
    began = time.monotonic()
    run("db", "upgrade")
    if _in_production():
        click.echo("\nqa and sentiment are in production; to train them again: promptctl train --tasks qa,sentiment")
    else:
        run("train", "--tasks", ",".join(TASKS))
        run("promote", *_newest())
    run("prompt", "list")
    with serving():
        for query in QUERIES:
            run("query", *query)
    click.secho(f"\nthe whole loop took {time.monotonic() - began:.0f} s", bold=True)


def run(*arguments: str) -> None:
    """Show a command, run it, and stop the loop where it fails."""
    click.secho(f"\n$ promptctl {shlex.join(arguments)}", bold=True)
    done = subprocess.run(command(arguments), check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _in_production() -> bool:
    with opened(Settings()) as registry:
        promoted = {prompt.name for prompt in registry.prompts() if "production" in prompt.aliases}
    return promoted.issuperset(TASKS)


def _newest() -> list[str]:
    with opened(Settings()) as registry:
        return [registry.versions(task)[0].reference for task in TASKS]


def command(arguments: Sequence[str]) -> list[str]:
    """promptctl as this very interpreter runs it."""
    return [sys.executable, "-m", "orchestrator.cli.main", *arguments]


@contextmanager
def serving() -> Iterator[None]:
    """`promptctl serve` on a free port for the time of the block; queries find it by the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["PROMPTCTL_SERVER"] = f"http://127.0.0.1:{port}"
    click.secho(f"\n$ promptctl serve --port {port} &", bold=True)
    server = subprocess.Popen(command(["serve", "--port", str(port)]))
    try:
        _wait(server, f"http://127.0.0.1:{port}/healthz")
        yield
    finally:
        click.secho("\nstopping the server", bold=True)
        server.send_signal(signal.SIGINT)
        server.wait(STOP_S)


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(server.returncode or 1)
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    sys.exit(f"the server was not ready after {READY_S} s")


if __name__ == "__main__":
    main()
