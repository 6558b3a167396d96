"""What a server must survive: bodies, connections and headers that no client of ours would send."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

from methods import Artifact
from registry import Move, Registry
from serve.config import ServeConfig

from .conftest import SENTIMENT, Publish
from .live import live

CANARY = "zebrafinch-7719"
GOOD = {"prompt": "sentiment", "text": "the film was very good"}
POSTS = (
    "/v1/predict",
    "/v1/feedback",
    "/v1/feedback/lease",
    "/v1/feedback/settle",
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v2/models/sentiment/infer",
    "/v2/models/sentiment/versions/1/infer",
)
HUGE = "9" * 5000
DEEP = "[" * 10_000 + "]" * 10_000
BODIES: list[bytes] = [
    b"",
    b"\x00",
    b"null",
    b"\xff\xfe\xfd" + CANARY.encode(),
    b'{"prompt": "\xff' + CANARY.encode() + b'"}',
    b'{"prompt": "\\ud800' + CANARY.encode() + b'", "text": "a"}',
    DEEP.encode(),
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    f'{{"inputs": {DEEP}}}'.encode(),
    f'{{"prompt": "sentiment", "text": {HUGE}}}'.encode(),
    f'{{"inputs": [{{"name": "text", "shape": [{HUGE}], "datatype": "BYTES", "data": ["a"]}}]}}'.encode(),
    b'{"inputs": [{"name": "text", "shape": [1e400], "datatype": "BYTES", "data": ["a"]}]}',
    b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [NaN]}]}',
    b'{"prompt": "sentiment", "limit": NaN, "lease": Infinity, "temperature": -Infinity, "model": "sentiment"}',
    f'{{"model": "sentiment", "prompt": "a", "temperature": {HUGE}, "seed": {HUGE}}}'.encode(),
    f'{{"prompt": "sentiment", "limit": {HUGE}}}'.encode(),
    json.dumps({CANARY * 999: CANARY}).encode(),
    json.dumps({"model": "sentiment", "input": [CANARY] * 99_999}).encode()[: 1 << 20],
]


@pytest.fixture
def address(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> Iterator[tuple[str, int]]:
    publish("sentiment", make(SENTIMENT, 1))
    registry.promote([Move("sentiment:1")], actor="ada")
    with live(config) as where:
        host, port = where.split(":")
        yield host, int(port)


def client_of(address: tuple[str, int]) -> httpx.Client:
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=30)


def still_answers(client: httpx.Client) -> None:
    assert client.post("/v1/predict", json=GOOD).status_code == 200


def test_no_body_brings_a_server_down_or_is_quoted(address: tuple[str, int], capfd: pytest.CaptureFixture[str]) -> None:
    with client_of(address) as client:
        for path in POSTS:
            for place, body in enumerate(BODIES):
                response = client.post(path, content=body, headers={"content-type": "application/json"})
                assert 400 <= response.status_code < 500, (path, place, response.text[:200])
                assert response.json()["error"]
                assert CANARY not in response.text
                assert len(response.content) < 2000
        still_answers(client)
    assert CANARY not in "".join(capfd.readouterr())


def test_bodies_of_ten_megabytes_are_turned_away_without_being_held(address: tuple[str, int]) -> None:
    piece = b"a" * 65_536

    def send_to_all(client: httpx.Client) -> int:
        for path in POSTS:
            for sized in ({"content-length": str(10 << 20)}, {}):
                headers = {"content-type": "application/json"} | sized
                try:
                    response = client.post(path, content=(piece for _ in range(160)), headers=headers)
                except httpx.WriteError:  # it was turned away before all of it was sent
                    continue
                assert response.status_code == 413, (path, sized, response.text)
        return psutil.Process().memory_info().rss

    with client_of(address) as client:
        before = send_to_all(client)
        assert send_to_all(client) - before < 20 << 20  # 180 MiB were sent
        still_answers(client)


def test_a_half_closed_socket_and_a_lost_one_harm_nobody(address: tuple[str, int]) -> None:
    body = json.dumps(GOOD).encode()
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with client_of(address) as client:
        for sent in (b"", head[:20].encode(), head.encode(), head.encode() + body[:9], head.encode() + body):
            with socket.create_connection(address, 10) as half:
                half.sendall(sent)
                half.shutdown(socket.SHUT_WR)
                half.recv(65_536)
            with socket.create_connection(address, 10) as lost:
                lost.sendall(sent)
        still_answers(client)


def test_bytes_that_are_not_http_are_answered_400(address: tuple[str, int]) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00" * 9,
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(address, 10) as raw:
            raw.sendall(sent)
            assert raw.recv(99).startswith(b"HTTP/1.1 400")
    with client_of(address) as client:
        still_answers(client)


def test_a_head_without_end_is_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address, 10) as endless:
        endless.sendall(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends fails is the network's
            for _ in range(1000):
                endless.sendall(b"X-More: " + b"a" * 4096 + b"\r\n")
                time.sleep(0.001)
    with client_of(address) as client:
        still_answers(client)


def test_who_sends_too_slowly_is_not_waited_for(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.edge.connection.HEAD_S", 0.2)
    monkeypatch.setattr("serve.edge.edge.BODY_S", 0.2)
    with socket.create_connection(address, 10) as silent:
        assert silent.recv(99) == b""
    with socket.create_connection(address, 10) as slow:
        slow.sendall(b"GET /v1/status HT")
        assert slow.recv(99) == b""
    for path in ("/v1/predict", "/v2/models/sentiment/infer"):
        with socket.create_connection(address, 10) as slow:
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
            slow.sendall(head.encode())
            assert slow.recv(99).startswith(b"HTTP/1.1 408")
    with client_of(address) as client:
        still_answers(client)
        time.sleep(0.3)  # a connection that is kept, and a request on it later
        still_answers(client)
