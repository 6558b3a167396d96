"""The README's commands, run in order in a fresh home; what they print is what it shows, but for the numbers.

`python -m tests.test_readme` writes what they print now into the README.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.text_prompts import load

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
READY_S = 120


class Shell:
    """Runs commands as a person at a terminal would, in a folder with the files that the README speaks of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bin = Path(sys.executable).parent
        self._environment = os.environ | {
            "PROMPTCTL_HOME": str(folder / "home"),
            "PATH": f"{bin}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "TERM": "xterm",
            "PROMPTCTL_ACTOR": "ada",
            "COLUMNS": "120",
        }
        self._server: subprocess.Popen[bytes] | None = None
        shutil.copytree(ROOT / "orchestrator" / "demo" / "sentiment", folder, dirs_exist_ok=True)

    def run(self, line: str) -> str:
        """What a command prints; one that ends in & goes on in the background."""
        if line.endswith("&"):
            return self._start(line.rstrip("& "))
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            line, shell=True, cwd=self._folder, env=self._environment, stdout=theirs, stderr=subprocess.PIPE
        )
        os.close(theirs)
        printed = b"".join(_read(ours))
        os.close(ours)
        errors = process.stderr.read().decode() if process.stderr else ""
        if process.stderr:
            process.stderr.close()
        assert process.wait() == 0, f"{line}\n{printed.decode()}{errors}"
        lines = ESCAPE.sub("", printed.decode()).splitlines()
        return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())

    def _start(self, line: str) -> str:
        self._server = subprocess.Popen(
            line.split(), cwd=self._folder, env=self._environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                if httpx.get("http://127.0.0.1:8000/healthz").is_success:
                    return ""
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(f"{line} was not ready after {READY_S} s, or ended")

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(60)


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError:  # how a terminal says that nobody writes any more
            return
        if not part:
            return
        yield part


@contextmanager
def shell() -> Iterator[Shell]:
    """A shell in a folder whose path is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pc"))
    opened = Shell(folder)
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(folder)


def executed(text: str, opened: Shell) -> str:
    """The README with what every command prints now."""

    def block(found: re.Match[str]) -> str:
        commands = [line for line in found[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"{line}\n{opened.run(line[2:])}" for line in commands) + "```"

    return BLOCK.sub(block, text)


def shape(text: str) -> list[str]:
    """Lines with every number and digest blotted out, and runs of blanks as one."""
    blotted = re.sub(r"\b(?:sha256:[0-9a-f]+|[0-9a-f]{64}\b)|\b\d[\d.,:TZ-]*\b(?:e-?\d+)?", "#", text)
    blotted = re.sub(r"\b(positive|negative)\b", "LABEL", blotted)
    return [re.sub(r"[ ─]+", " ", line).strip() for line in blotted.splitlines()]


@pytest.mark.slow
def test_the_readme_shows_what_its_commands_print() -> None:
    text = README.read_text()
    with shell() as opened:
        assert shape(executed(text, opened)) == shape(text)


def test_the_readmes_prompt_in_words_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(# prompt.toml\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "prompt.toml"
    file.write_text(block)
    spec = load(file)
    assert (spec.name, spec.kind, len(spec.templates)) == ("mood", "classification", 2)
    assert dict(spec.verbalizer) == {"negative": ("terrible",), "positive": ("great",)}


if __name__ == "__main__":
    with shell() as opened:
        README.write_text(executed(README.read_text(), opened))
