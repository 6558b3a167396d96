"""What HAProxy is kept from, without starting it behind Ray."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.edge.headers import STEERING
from serve.errors import Unavailable
from serve.replicas import haproxy

from .servers import free_port

RAYS = r"""
import json, sys
from ray.serve._private.haproxy import HAProxyApi, HAProxyConfig
from ray.serve.config import HTTPOptions
folder = sys.argv[1]
cfg = HAProxyConfig(
    socket_path=f"{folder}/admin.sock",
    server_state_base=folder,
    server_state_file=f"{folder}/server-state",
    http_options=HTTPOptions(host="127.0.0.1", port=18080),
    metrics_enabled=False,
)
HAProxyApi(cfg=cfg, backend_configs={}, config_file_path=f"{folder}/haproxy.cfg")._generate_config_file_internal()
"""


@pytest.fixture(scope="module")
def rays() -> Iterator[Path]:
    """What Ray configures HAProxy with."""
    folder = Path(tempfile.mkdtemp(prefix="pc", dir="/tmp"))  # the paths of sockets have to be short
    env = os.environ | {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "nobody")}
    subprocess.run([sys.executable, "-c", RAYS, str(folder)], env=env, check=True, capture_output=True)
    yield folder / "haproxy.cfg"
    shutil.rmtree(folder)


@pytest.fixture
def config(rays: Path) -> Iterator[Path]:
    """The same, for a test to change."""
    before = rays.read_text()
    yield rays
    rays.write_text(before)


def test_nothing_but_the_address_that_was_asked_for_listens_on_the_network(config: Path, tmp_path: Path) -> None:
    before, after = config.read_text(), haproxy.closed(config.read_text(), tmp_path)
    assert {"*:8404", ":9101", "127.0.0.1:18080"} == set(re.findall(r"^\s+bind (\S+)", before, re.M))
    sockets = {f"{tmp_path}/{name}.sock" for name in ("prometheus", "stats")}
    assert {"127.0.0.1:18080", *sockets} == set(re.findall(r"^\s+bind (\S+)", after, re.M))
    assert "mode 666" in before
    assert "mode 666" not in after
    assert "127.0.0.1:514" not in after


def test_the_program_closes_the_configuration_before_haproxy_reads_it(config: Path) -> None:
    program = haproxy.program()
    assert program is not None
    for _ in range(2):  # Ray starts it again when replicas come and go
        done = subprocess.run([program, "-c", "-f", config], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert config.read_text().count("mode 600") == 3


def test_a_configuration_of_another_ray_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not know this HAProxy configuration"):
        haproxy.closed("global\n    maxconn 1\n", tmp_path)


def test_no_header_steers_ray(config: Path, tmp_path: Path) -> None:
    after = haproxy.closed(config.read_text(), tmp_path)
    deleted = set(re.findall(r"http-request del-header (\S+)$", after, re.M))
    assert deleted == set(STEERING)


def test_what_a_replica_hears_of_a_client(config: Path) -> None:
    """HAProxy itself, with a port to which a client's address can be told, and an answer that repeats the headers."""
    port = free_port()
    said = "|".join(f"%[req.hdr({name})]" for name in ("x-forwarded-for", "x-session-id", "x-request-id"))
    text = config.read_text().replace("bind 127.0.0.1:18080", f"bind 127.0.0.1:{port} accept-proxy")
    config.write_text(
        re.sub(
            r"(?m)^(backend default_backend\n).*",
            rf"\1    http-request return content-type text/plain lf-string {said}",
            text,
        )
    )
    with subprocess.Popen([str(haproxy.program()), "-db", "-f", config], stderr=subprocess.PIPE) as running:
        try:
            forged = ("x-session-id: s", "x-request-id: 1 2")
            assert _asked(port, "203.0.113.9", *forged, "x-forwarded-for: 127.0.0.1").endswith("\r\n203.0.113.9||")
            assert _asked(port, "127.0.0.1", *forged).endswith("\r\n||")
            assert _asked(port, "127.0.0.1", "x-request-id: ab-12", "x-forwarded-for: f").endswith("\r\nf||ab-12")
        finally:
            running.kill()


def _asked(port: int, client: str, *headers: str) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    lines = (f"PROXY TCP4 {client} 127.0.0.1 1 80", "GET / HTTP/1.1", "host: localhost", "connection: close", *headers)
    with connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def test_a_replica_behind_an_open_haproxy_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_SERVE_HAPROXY_BINARY_PATH", raising=False)
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    haproxy.check_closed()
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(Unavailable, match="HAProxy is open"):
        haproxy.check_closed()
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(haproxy.program()))
    haproxy.check_closed()


def test_its_files_lie_in_a_folder_that_is_its_users_alone_and_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*haproxy.SWITCHES, *haproxy.PLACES, *haproxy.DRAINING, "RAY_SERVE_HAPROXY_BINARY_PATH"):
        monkeypatch.setenv(name, "before")
    with haproxy.in_front():
        folder = Path(os.environ["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(f"{folder}/{'n' * 56}/prometheus.sock.1234567.tmp") < 108  # as long as a socket's path may be
    assert not folder.exists()
