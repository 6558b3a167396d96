"""When a client asks again, when it does not, and what it carries."""

import asyncio
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args, get_type_hints

import httpx
import pytest

from serve import errors
from serve.client import AsyncClient, Client, asking
from serve.client.asking import Call, pause_s
from serve.client.messages import Prediction, ServedTask
from serve.schemas import Output, TaskInfo

from .servers import free_port

Answer = tuple[int, dict[str, str], bytes] | None  # None hangs up
Ask = Callable[..., Any]
GOOD = 200, {}, b'{"outputs": [{"label": "good"}]}'
KEPT = 200, {}, b'{"message": "held"}'
SAFE, ONCE = Call("POST", "/v1/predict"), Call("POST", "/v1/feedback", safe=False)


class Script:
    """Answers requests one after the other, and remembers what came with them and over how many connections."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str | None]] = []
        self.connections: set[tuple[str, int]] = set()
        self.url = ""


@pytest.fixture
def script() -> Iterator[Script]:
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.asked.append((self.path, self.headers["Authorization"]))
            told.connections.add(self.client_address)
            answer = told.answers.pop(0)
            if answer is None:
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            status, headers, body = answer
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        told.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield told
        listening.shutdown()
        thread.join()


def sync(url: str, what: str, *given: object, **options: Any) -> Any:
    with Client(url, **options) as client:
        return getattr(client, what)(*given)


def on_a_loop(url: str, what: str, *given: object, **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, what)(*given)

    return asyncio.run(main())


@pytest.fixture(params=[sync, on_a_loop], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(asking, "FIRST_PAUSE_S", 0.001)
    return request.param


def failed(status: int, code: str, **headers: str) -> Answer:
    body = {"error": {"code": code, "message": "what happened", "hint": "what to do"}}
    return status, headers, json.dumps(body).encode()


def test_a_safe_call_is_made_again_until_it_is_answered(ask: Ask, script: Script) -> None:
    script.answers = [failed(503, "unavailable"), None, (502, {}, b"<html>bad gateway"), GOOD]
    assert ask(script.url, "predict", [{"prompt": "a", "text": "b"}]) == [{"label": "good"}]
    assert len(script.asked) == 4


def test_what_is_for_this_machine_goes_through_no_proxy(
    ask: Ask, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    script.answers = [GOOD]
    assert ask(script.url, "predict", [{"prompt": "a", "text": "b"}], retries=0) == [{"label": "good"}]


def test_a_path_that_a_proxy_does_not_know_is_asked_again_and_one_that_we_do_not_know_is_not(
    ask: Ask, script: Script
) -> None:
    script.answers = [(404, {}, b"Path '/v1/predict' not found"), GOOD]
    assert ask(script.url, "predict", []) == [{"label": "good"}]
    script.answers = [failed(404, "not_found"), GOOD]
    with pytest.raises(errors.NotFound):
        ask(script.url, "predict", [])


def test_it_is_made_four_times_at_the_most_and_then_the_last_error_is_raised(ask: Ask, script: Script) -> None:
    script.answers = [failed(503, "unavailable"), *[failed(429, "overloaded", **{"Retry-After": "0"})] * 3, GOOD]
    with pytest.raises(errors.Overloaded, match="what happened"):
        ask(script.url, "predict", [])
    assert len(script.asked) == 4
    assert ask(script.url, "predict", [], retries=0) == [{"label": "good"}]


def test_the_server_says_how_long_to_wait(ask: Ask, script: Script) -> None:
    script.answers = [failed(429, "overloaded", **{"Retry-After": "1"}), GOOD]
    started = time.monotonic()
    ask(script.url, "predict", [])
    assert 1 <= time.monotonic() - started < 3


def test_an_error_that_will_stay_is_raised_at_once(ask: Ask, script: Script) -> None:
    for status, code in ((422, "invalid"), (404, "not_found"), (503, "integrity"), (500, "run_failed"), (401, "auth")):
        script.answers = [failed(status, code)]
        with pytest.raises(errors.KINDS[code]):
            ask(script.url, "predict", [])
    script.answers = [failed(429, "overloaded", **{"Retry-After": "31"})]
    with pytest.raises(errors.Overloaded) as raised:
        ask(script.url, "predict", [])
    assert raised.value.retry_after_s == 31
    assert len(script.asked) == 6


def test_a_correction_that_was_sent_is_not_sent_again(ask: Ask, script: Script) -> None:
    for answer in (None, failed(503, "unavailable"), failed(429, "overloaded"), (500, {}, b"gone")):
        script.answers = [answer, KEPT]
        with pytest.raises(errors.ServeError):
            ask(script.url, "feedback", {"prompt": "a", "text": "b", "label": "c"})
        assert script.answers == [KEPT]


def test_what_never_reached_a_server_is_sent_again_even_a_correction(ask: Ask, script: Script) -> None:
    port = free_port()
    late: list[object] = []

    def start() -> None:
        time.sleep(0.15)
        with socket.create_server(("127.0.0.1", port)) as listening:
            connection, _ = listening.accept()
            with connection:
                late.append(connection.recv(65_536))
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"message": "ok"}')

    thread = threading.Thread(target=start)
    thread.start()
    answer = ask(f"http://127.0.0.1:{port}", "feedback", {"prompt": "a"}, retries=12)
    thread.join()
    assert answer == {"message": "ok"}
    assert len(late) == 1


@pytest.mark.parametrize("tried", [0, 1, 2])
def test_pauses_double_and_differ_between_clients(tried: int) -> None:
    pauses = [pause_s(SAFE, httpx.ConnectError("refused"), tried) or 0 for _ in range(50)]
    longest = 0.1 * 2**tried
    assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert len(set(pauses)) > 1


def test_a_call_that_timed_out_is_not_made_again_because_it_may_still_run() -> None:
    assert pause_s(SAFE, httpx.ReadTimeout("slow"), 0) is None
    assert pause_s(SAFE, httpx.ReadError("reset"), 0) is not None
    assert pause_s(ONCE, httpx.ReadError("reset"), 0) is None
    assert pause_s(ONCE, httpx.ConnectError("refused"), 0) is not None
    assert pause_s(SAFE, httpx.UnsupportedProtocol("nonsense"), 0) is None


def test_a_connection_is_kept_and_closed(script: Script) -> None:
    script.answers = [GOOD] * 4
    with Client(script.url) as client:
        for _ in range(3):
            client.predict([])
    assert len(script.connections) == 1
    with pytest.raises(RuntimeError, match="closed"):
        client.predict([])


def test_a_client_that_nobody_closes_leaves_no_connection_behind(script: Script) -> None:
    script.answers = [GOOD]
    client = Client(script.url)
    client.predict([])
    del client
    gc.collect()  # an open socket would warn, and a warning fails a test


def test_every_call_carries_the_token_and_no_error_shows_it(
    ask: Ask, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers = [GOOD] * 3
    ask(script.url, "predict", [])
    monkeypatch.setenv("PROMPTCTL_TOKEN", "pc_environment")
    ask(script.url, "predict", [])
    ask(script.url, "predict", [], token="pc_given")
    assert [token for _, token in script.asked] == [None, "Bearer pc_environment", "Bearer pc_given"]
    for wrong in ("pc_secret\n", "pc_sécret", "pc secret"):
        with pytest.raises(errors.Invalid) as raised:
            ask(script.url, "predict", [], token=wrong)
        assert "cret" not in str(raised.value)
    with pytest.raises(errors.Unavailable) as unreached:
        ask(f"http://127.0.0.1:{free_port()}", "predict", [], token="pc_given", retries=0)
    assert "pc_given" not in repr(unreached.value) + repr(unreached.value.__cause__)


@pytest.mark.parametrize(("typed", "sent"), [(Prediction, Output), (ServedTask, TaskInfo)])
def test_the_names_that_a_client_reads_are_those_that_the_server_sends(typed: type, sent: Any) -> None:
    assert get_type_hints(typed).keys() == sent.model_fields.keys()
    for name, kind in get_type_hints(typed).items():
        known = sent.model_fields[name].annotation
        assert kind is Any or kind == known or kind in get_args(known) or kind is str, name
