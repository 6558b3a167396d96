"""Servers in processes of their own."""

import socket
import subprocess
import sys

from serve.config import ServeConfig

GOOD = {"prompt": "sentiment", "text": "the film was very good"}
PROGRAM = """
import pathlib, sys
from serve.config import ServeConfig
from serve.{module} import run
database, store, backbone, port, ray_dir, home = sys.argv[1:]
config = ServeConfig(
    database, store, backbone, "127.0.0.1", int(port), pathlib.Path(ray_dir), pathlib.Path(home)
)
run(config, lambda line: print(line, file=sys.stderr, flush=True))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def start(config: ServeConfig, module: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A server in a process of its own, and what it has said by the time it serves."""
    places = [config.database_url, config.store_url, config.backbone]
    arguments = [*places, str(config.port), str(config.ray_dir), str(config.home)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(module=module), *arguments],
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
