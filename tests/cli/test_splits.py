import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import Result

from registry import Move, Registry

Run = Callable[..., Result]


@contextmanager
def server(status: int, body: object) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Answers so to `POST /v1/sync`; its address, and the headers of each request."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/sync"
            asked.append({name.lower(): value for name, value in self.headers.items()})
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server answers at that port, unless a test has one elsewhere."""
    monkeypatch.setenv("PROMPTCTL_SERVER", "http://127.0.0.1:9")


def test_a_candidate_is_shown_with_its_percent_and_ends_either_way(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:1")], actor="ada")
    assert run("promote", "sentiment:2", "--percent", "10").stdout == "sentiment\tproduction\t1\t1\t2\t10\n"
    assert run("promote", "sentiment:2", "--percent", "0").stdout == "sentiment\tproduction\t1\t1\n"
    assert run("promote", "sentiment:2", "--shadow").stdout == "sentiment\tproduction\t1\t1\t2\t0\n"
    assert run("promote", "sentiment:2", "--percent", "100").stdout == "sentiment\tproduction\t1\t2\n"
    rows = [
        line.split("\t")[1:5] + line.split("\t")[7:] for line in run("prompt", "log", "sentiment").stdout.splitlines()
    ]
    assert rows == [
        ["production", "1", "2", "set", "", ""],
        ["production", "1", "1", "shadow", "2", "0"],
        ["production", "1", "1", "stop", "", ""],
        ["production", "1", "1", "canary", "2", "10"],
        ["production", "", "1", "set", "", ""],
    ]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("--percent", "101"), 2, "not in the range"),
        (("--percent", "10", "--shadow"), 2, "a shadow gets no percent of the rows"),
        (("--percent", "10", "--to", "staging"), 3, "sentiment@staging names no version yet"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, registry: Registry, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    registry.promote([Move("sentiment:1")], actor="ada")
    result = run("promote", "sentiment:2", *arguments)
    assert (result.exit_code, said in result.stderr, registry.epoch()) == (exit_code, True, 1)


def test_a_server_that_answers_is_asked_to_follow_and_what_it_serves_is_said(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTCTL_TOKEN", "pc_secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with server(200, {"epochs": [1]}) as (url, asked):
        monkeypatch.setenv("PROMPTCTL_SERVER", url)
        assert run("promote", "sentiment:1", "--dry-run").exit_code == 0
        assert asked == []
        result = run("promote", "sentiment:1")
    assert (result.exit_code, result.stderr) == (0, f"{url} serves epoch 1\n")
    assert result.stdout == "sentiment\tproduction\t\t1\n"
    (headers,) = asked
    assert (headers["authorization"], headers["content-length"]) == ("Bearer pc_secret", "0")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, {"epochs": [3, 2]}, "{url} serves epoch 2 on all 2 replicas\n"),
        (
            403,
            {},
            "{url} follows within a second; asked to at once, it answered 403, "
            "which takes a promoter's PROMPTCTL_TOKEN\n",
        ),
        (200, {"epochs": []}, "{url} did not answer; it follows within a second of its return\n"),
        (200, [], "{url} did not answer; it follows within a second of its return\n"),
    ],
)
def test_whatever_a_server_answers_the_move_was_made(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch, status: int, body: object, said: str
) -> None:
    registry.promote([Move("sentiment:1")], actor="ada")
    registry.promote([Move("sentiment:2")], actor="ada")
    with server(status, body) as (url, _):
        monkeypatch.setenv("PROMPTCTL_SERVER", url)
        result = run("rollback", "sentiment")
    assert (result.exit_code, result.stderr) == (0, said.format(url=url))
    assert registry.resolve("sentiment").number == 1


def test_a_named_server_that_is_down_is_said_and_any_other_is_not(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("promote", "sentiment:1")
    said = "http://127.0.0.1:9 did not answer; it follows within a second of its return\n"
    assert (result.exit_code, result.stderr) == (0, said)
    monkeypatch.delenv("PROMPTCTL_SERVER")
    monkeypatch.setattr("orchestrator.announcing.TIMEOUT", 0.001)
    assert run("promote", "sentiment:2").stderr == ""
