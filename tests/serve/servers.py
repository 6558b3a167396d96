"""Servers in processes of their own."""

import os
import socket
import subprocess
import sys

from serve.config import ServeConfig

GOOD = {"prompt": "sentiment", "text": "the film was very good"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def start(config: ServeConfig, *options: str) -> tuple[subprocess.Popen[str], list[str]]:
    """`promptctl serve` in a process of its own, and what it has said by the time it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", "serve", "--port", str(config.port), *options],
        env=os.environ
        | {
            "PROMPTCTL_DATABASE_URL": config.database_url,
            "PROMPTCTL_STORE_URL": config.store_url,
            "PROMPTCTL_BACKBONE": config.backbone,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line.rstrip())
        if "serves on" in line:
            break
    return process, lines


def stop(process: subprocess.Popen[str]) -> None:
    """Have it stop by itself, so that it takes its own processes along."""
    with process:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
