"""What Ray would write to disk, and what keeps it from it.

Ray logs what tasks print and raise, and spills objects, all in clear. The switches were tried with canaries: none was
left in a session's files, with them; without RAY_LOG_TO_STDERR those of prints, logs and exceptions were.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import OrchestratorError

MEMORY = Path("/dev/shm")  # a folder that Linux keeps in memory
OBJECT_STORE = 200 * 2**20  # bytes
LOGS = {".out", ".err", ".log"}


@dataclass(frozen=True)
class Switch:
    """A variable of Ray's environment, the value that a cluster is started with, and what that keeps off the disk."""

    name: str
    value: str
    keeps_off: str


SWITCHES = (
    Switch("RAY_LOG_TO_STDERR", "1", "what tasks print, log and raise"),
    Switch("RAY_BACKEND_LOG_LEVEL", "fatal", "what actors raise as they start"),
    Switch("RAY_object_spilling_directory", str(MEMORY) if MEMORY.is_dir() else "", "objects beyond the store's size"),
    Switch("RAY_TRAIN_ENABLE_PRINT_PATCH", "0", "what training prints"),
    Switch("RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING", "0", "what training workers log and raise"),
    Switch("RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING", "0", "what training workers raise, as it is told on"),
    Switch("RAY_TRAIN_ENABLE_STATE_TRACKING", "0", "what a run was configured with"),
    Switch("RAY_SERVE_LOG_TO_STDERR", "1", "what a replica prints"),
    Switch("RAY_SERVE_LOG_CLIENT_ADDRESS", "0", "who asked"),
    Switch("RAY_SERVE_ENABLE_MEMORY_PROFILING", "0", "profiles of a replica's memory"),
    Switch("RAY_DASHBOARD_ENABLE_PROFILING", "0", "profiles of a worker's memory"),
    Switch("RAY_enable_export_api_write", "0", "events of tasks and actors"),
    Switch("RAY_USAGE_STATS_ENABLED", "0", "reports to Ray's makers"),
    Switch("RAY_AUTH_MODE", "token", "nothing, but keeps strangers out"),
)
SYSTEM = {"automatic_object_spilling_enabled": False}  # Ray does not hear the variable of that name


class NotPrivate(OrchestratorError, RuntimeError):
    """A place that would keep what users wrote, or show it to others."""

    code = "refused"


def apply() -> None:
    """Set every switch, whatever the environment says, for the Ray that is imported next."""
    os.environ.update({switch.name: switch.value for switch in SWITCHES})


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Processes that start in the block inherit no output, which may go into a log; this one keeps its own."""
    theirs = {number: os.dup(number) for number in (1, 2)}
    ours = getattr(sys.stderr, "rich_proxied_file", sys.stderr) is sys.__stderr__
    with os.fdopen(os.dup(2), "w", buffering=1) as own, Path(os.devnull).open("wb") as nowhere:
        for number in theirs:
            os.dup2(nowhere.fileno(), number)
        try:
            with contextlib.redirect_stderr(own if ours else sys.stderr):
                yield
        finally:
            for number, before in theirs.items():
                os.dup2(before, number)
                os.close(before)


def check(folder: Path, session: Path) -> None:
    """See that the Ray that was started keeps no log, and that its folder is its owner's alone.

    Raises:
        NotPrivate: it is not so; another version of Ray may have other switches.
    """
    kept = sorted(file.name for file in (session / "logs").iterdir() if file.suffix in LOGS)
    if kept:
        raise NotPrivate(
            f"Ray writes {kept[0]}, where a user's text may end",
            hint="install the version of Ray that promptctl names, or leave Ray out: train --workers 0, serve --local",
        )
    if folder.stat().st_mode & 0o077:
        raise NotPrivate(f"others can read {folder}", hint="let PROMPTCTL_HOME lie on a disk with permissions")
