import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest

from methods import Artifact
from registry import Move, Registry
from serve import errors
from serve.client import Client
from serve.config import ServeConfig
from serve.replicas.app import run

from .conftest import QA, SENTIMENT, Publish
from .servers import GOOD, free_port, start, stop

CANARY = "zebrafinch-7719"


@pytest.mark.slow
def test_ray_serves_the_same_application_behind_haproxy_privately_and_stops_when_asked(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in (1, 2):
        publish("sentiment", make(SENTIMENT, seed))
    publish("qa", make(QA, 3))
    registry.promote([Move("sentiment:1"), Move("qa:1")], actor="ada")
    with TemporaryDirectory(prefix="pc", dir="/tmp") as short:  # the paths of Ray's sockets have to be short
        config = replace(config, port=free_port())
        monkeypatch.setenv("PROMPTCTL_HOME", short)
        process, said = start(config, "--production")
        try:
            assert said[-1] == f"promptctl serves on {config.url} (2 prompts, epoch 1)"
            _answers(config, registry)
            haproxy = _folder_of_haproxy(process.pid)
            assert stat.S_IMODE(haproxy.stat().st_mode) == 0o700
            written = [
                path for place in (short, tmp_path, haproxy) for path in Path(place).rglob("*") if path.is_file()
            ]
            assert [path for path in written if CANARY in _text(path)] == []
            assert stat.S_IMODE((Path(short) / "ray_token").stat().st_mode) == 0o600
            with pytest.raises(errors.Unavailable, match="Address already in use"):
                run(config, lambda line: None, nullcontext())
            assert _answered_while_stopping(config, lambda: process.send_signal(signal.SIGTERM)) == 256
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out, err) == (0, "", "stopping\nstopped\n")
            assert list((Path(short) / "ray").rglob("session_2*")) == []
            assert not haproxy.exists()
            (total,) = registry.feedback()
            assert (total.accepted, total.learned, total.lost, total.unsettled) == (2, 1, 1, 0)
        finally:
            stop(process)


def _answers(config: ServeConfig, registry: Registry) -> None:
    client = Client(config.url)
    row = GOOD | {"text": CANARY}
    first, second = client.predict([row, {"prompt": "qa", "question": CANARY, "context": f"the {CANARY} was red"}])
    assert (first["version"], second["version"]) == ("sentiment:1", "qa:1")
    with pytest.raises(errors.NotFound, match="row 0: unknown prompt 'nobody'"):
        client.predict([row | {"prompt": "nobody"}])
    with pytest.raises(errors.Invalid, match="row 0: unknown field"):
        client.predict([row | {CANARY: CANARY}])
    headers = {"x-request-id": CANARY, "serve_multiplexed_model_id": CANARY}
    assert httpx.post(f"{config.url}/v1/predict", json=row, headers=headers).status_code == 200
    assert httpx.post(f"{config.url}/v1/predict", json=row | {"context": "a" * (1 << 20)}).status_code == 413
    correction = row | {"label": "negative"}
    assert [client.feedback(correction)["waiting"] for _ in range(2)] == [1, 2]
    lease = client.lease("sentiment", 1)
    assert [row["text"] for row in lease["rows"]] == [CANARY]
    assert client.settle(lease["lease"], "learned") == 1
    registry.promote([Move("sentiment:2")], actor="ada")
    time.sleep(1)
    assert client.predict([row])[0]["version"] == "sentiment:2"


def _answered_while_stopping(config: ServeConfig, stop: Callable[[], None]) -> int:
    answers: list[int] = []
    many = [GOOD | {"text": "the film was very good " * 12}] * 256
    asking = threading.Thread(target=lambda: answers.append(len(Client(config.url).predict(many))))
    asking.start()
    while Client(config.url).status()["waiting_tokens"] == 0:
        assert asking.is_alive()
    stop()
    asking.join(30)
    return sum(answers)


def _folder_of_haproxy(pid: int) -> Path:
    socket = "RAY_SERVE_HAPROXY_SOCKET_PATH"
    told = [child.environ() for child in psutil.Process(pid).children()]
    return Path(next(environ[socket] for environ in told if socket in environ)).parent


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if os.access(path, os.R_OK) else ""
