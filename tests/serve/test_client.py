import json
import pickle
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from methods import Artifact
from registry import Move, Registry
from serve import errors
from serve.client import Client
from serve.config import ServeConfig
from serve.local import run

from .conftest import SENTIMENT, Publish
from .servers import GOOD, free_port, start, stop


@pytest.fixture
def server(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> Iterator[tuple[subprocess.Popen[str], ServeConfig]]:
    publish("sentiment", make(SENTIMENT, 1))
    publish("sentiment", make(SENTIMENT, 2))
    registry.promote([Move("sentiment:1")], actor="ada")
    config = replace(config, port=free_port())
    process, lines = start(config, "--local")
    assert lines[-1] == f"promptctl serves on {config.url} (1 prompt, epoch 1)"
    try:
        yield process, config
    finally:
        stop(process)


def test_a_local_server_answers_follows_a_promotion_and_stops_when_asked(
    server: tuple[subprocess.Popen[str], ServeConfig], registry: Registry
) -> None:
    process, config = server
    client = Client(config.url)
    (answer,) = client.predict([GOOD])
    assert (answer["version"], answer["label"]) == ("sentiment:1", max(answer["scores"], key=answer["scores"].get))
    assert [task["prompt"] for task in client.tasks()] == ["sentiment"]
    with pytest.raises(errors.NotFound, match="row 0: unknown prompt 'sentimant'") as raised:
        client.predict([GOOD | {"prompt": "sentimant"}])
    assert raised.value.hint == "did you mean sentiment?"
    registry.promote([Move("sentiment:2")], actor="ada")
    time.sleep(1)
    assert client.predict([GOOD])[0]["version"] == "sentiment:2"
    assert client.status()["epoch"] == 2
    with pytest.raises(errors.Unavailable, match=f"cannot listen on {config.url}: Address already in use"):
        run(config, lambda line: None)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "stopped\n")


def test_a_request_in_flight_is_answered_before_the_server_stops(
    server: tuple[subprocess.Popen[str], ServeConfig],
) -> None:
    process, config = server
    answers: list[int] = []
    many = [GOOD | {"text": "the film was very good " * 12}] * 256

    def ask() -> None:
        with suppress(errors.Unavailable):  # of those who come while it stops
            answers.append(len(Client(config.url, retries=0).predict(many)))

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for asking in clients:
        asking.start()
    with Client(config.url) as watching:
        while watching.status()["waiting_tokens"] == 0:
            assert any(asking.is_alive() for asking in clients)
    process.send_signal(signal.SIGINT)
    for asking in clients:
        asking.join(20)
    assert answers
    assert set(answers) == {256}
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_server_that_cannot_be_reached_is_named_with_the_command_that_starts_one() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(errors.Unavailable, match=f"no answer from the server at {url}") as raised:
        Client(url, retries=0).predict([GOOD])
    assert "promptctl serve" in raised.value.hint
    with pytest.raises(errors.Unavailable, match="no answer from the server at nonsense"):
        Client("nonsense").status()


@pytest.fixture
def stranger() -> Iterator[tuple[str, dict[str, object]]]:
    """A server that is not ours, and what it is to answer."""
    said: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(str(said["status"])))
            if "retry" in said:
                self.send_header("Retry-After", str(said["retry"]))
            self.end_headers()
            self.wfile.write(str(said["body"]).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", said
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<html>"), (404, "not here"), (500, "{}"), (502, "[]"), (503, '{"error": "down"}')]
)
def test_a_server_that_is_not_promptctl_is_recognised(
    stranger: tuple[str, dict[str, object]], status: int, body: str
) -> None:
    url, said = stranger
    said |= {"status": status, "body": body}
    with pytest.raises(errors.Unavailable, match=f"{url} answered {status} .*, and not as promptctl does"):
        Client(url, retries=0).status()


@pytest.mark.parametrize("kind", errors.KINDS.values())
def test_the_error_of_the_server_is_raised_as_it_was(
    stranger: tuple[str, dict[str, object]], kind: type[errors.ServeError]
) -> None:
    url, said = stranger
    body = {"error": {"code": kind.code, "message": "what happened", "hint": "what to do"}}
    said |= {"status": 429, "body": json.dumps(body), "retry": 7}
    with pytest.raises(kind) as raised:
        Client(url, retries=0).status()
    assert (str(raised.value), raised.value.hint) == ("what happened", "what to do")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again), again.hint) == (kind, "what happened", "what to do")
    if isinstance(raised.value, errors.Overloaded):
        assert raised.value.retry_after_s == 7
