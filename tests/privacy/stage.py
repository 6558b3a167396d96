"""Where the scenario is played: a home, a user's data, and commands in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.events import Tail
from tests.privacy.canaries import Canaries
from tests.privacy.contents import Patterns, in_bytes
from tests.privacy.search import Hit, search

PATIENCE_S = 180


@dataclass(frozen=True)
class Stage:
    """The user's rows lie in `data` alone; whatever else is written since `since` must not hold them."""

    home: Path
    data: Path
    plugins: Path
    canaries: Canaries
    patterns: Patterns
    since: float

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """A command that runs on."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("PROMPTCTL_", "MLFLOW_"))}
        ours = {"PROMPTCTL_HOME": str(self.home), "PYTHONPATH": str(self.plugins)}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", *arguments],
            env=plain | ours | environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )

    def promptctl(self, *arguments: str, stdin: str = "", exit_code: int = 0, **environment: str) -> str:
        """A command from beginning to end; what it says may go into a log, so it must be clean as well."""
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(stdin.encode(), timeout=PATIENCE_S)
        assert self.clean(out + err), f"promptctl {arguments[0]} repeats a row"
        assert process.returncode == exit_code, err.decode()
        return out.decode()

    def clean(self, said: bytes) -> bool:
        """Whether something said holds no canary."""
        return not in_bytes(said, self.patterns)

    def left(self) -> list[Hit]:
        """Hits in the home as it is now."""
        return search(self.patterns, self.since, self.home)

    def kill(self, process: subprocess.Popen[bytes], reached: Callable[[Sequence[Any]], bool]) -> str:
        """End a run and all its processes by SIGKILL, as soon as its events say so; the run's id."""
        known = {file.parent for file in self.home.glob("runs/*/events.jsonl")}
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                for file in self.home.glob("runs/*/events.jsonl"):
                    if file.parent not in known and reached(list(Tail(file).new())):
                        return file.parent.name
                assert process.poll() is None, "the run ended before it could be killed"
                time.sleep(0.005)
            raise AssertionError("the run did not get that far")
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            out, err = process.communicate()
            psutil.wait_procs(family, timeout=30)
            assert self.clean(out + err)
