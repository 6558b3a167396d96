import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from orchestrator.cli.feedback import dropped
from registry import Registry
from registry.feedback import Buffer, FeedbackCount
from serve.feedback.buffer import FeedbackBuffer, Outcome
from serve.feedback.correction import Correction

Run = Callable[..., Result]
Row = dict[str, Any]
CANARY = "zebrafinch-7719"


class Server:
    """Takes corrections as a promptctl server does, three of them, and remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Row] = []
        self.url = ""

    def answer(self, row: Row) -> tuple[int, Row]:
        """Accepted, unless the label is wrong or three are held."""
        if row.get("label") == "wrong":
            return 422, {"error": {"code": "invalid", "message": "the label is none", "hint": "its labels: +, -"}}
        if len(self.sent) == 3:
            return 429, {"error": {"code": "overloaded", "message": "3 corrections are held", "hint": "later"}}
        self.sent.append(row)
        until = "2026-05-02T12:00:00Z"
        said = {"held_until": until, "message": f"accepted, held in memory until {until}", "waiting": len(self.sent)}
        return 200, {"accepted": True} | said


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/feedback"
            status, answer = server.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setenv("PROMPTCTL_SERVER", server.url)
        yield server
        http.shutdown()
        thread.join()


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_one_correction_says_until_when_it_is_held(run: Run, server: Server) -> None:
    result = run("feedback", "same", "--text", "a", "--text-pair", "b", "--label", "-", "--version", "same:3")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "accepted, held in memory until 2026-05-02T12:00:00Z\t1\n"
    assert server.sent == [{"prompt": "same", "text": "a", "text_pair": "b", "label": "-", "version": "same:3"}]
    as_json = run("feedback", "same", "--text", "a", "--label", "-", "-o", "json")
    (answer,) = json.loads(as_json.stdout)["feedback"]
    assert (answer["accepted"], answer["waiting"]) == (True, 2)


def test_the_long_form_reaches_a_prompt_named_like_a_command(run: Run, server: Server) -> None:
    assert run("feedback", "send", "list", "--text", "a", "--label", "-").exit_code == 0
    assert server.sent == [{"prompt": "list", "text": "a", "label": "-"}]


class Lender:
    """A server's buffer, as `serve.client.Client` asks it."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.buffer = FeedbackBuffer(lambda _, kind: self.steps.update([kind]))

    def lease(self, prompt: str) -> Row:
        lent = self.buffer.lease(prompt)
        return {"lease": lent and lent.id}

    def settle(self, lease: str, outcome: Outcome) -> int:
        return self.buffer.settle(lease, outcome)


def test_what_waits_can_be_dropped_and_another_prompts_waits_on() -> None:
    lender = Lender()
    for prompt in ("same", "same", "other"):
        lender.buffer.accept(Correction(prompt, f"{prompt}:1", 1, {"text": "a"}, "-"))
    assert (dropped(lender, "same"), dropped(lender, "same")) == (2, 0)
    assert lender.steps == {"accepted": 3, "dropped": 2}
    assert lender.buffer.holdings().waiting == {"other": 1}


def test_another_server_may_be_named(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_SERVER", "http://127.0.0.1:1")
    words = ("feedback", "same", "--text", "a", "--label", "-")
    assert run(*words).exit_code == 7
    assert run(*words, "--server", server.url).exit_code == 0


def test_a_file_is_sent_line_by_line_and_each_line_is_answered(run: Run, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "corrections.jsonl"
    rows = lines({"text": "a", "label": "+"}, {"text": "b", "label": "wrong"}, {"prompt": "other", "text": "c"})
    file.write_bytes(b"\n" + rows + b'{"text": "' + CANARY.encode())
    result = run("feedback", "same:2", "--label", "-", "--file", str(file))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["line"] for answer in answers] == [2, 3, 4, 5]
    assert [answer.get("waiting") for answer in answers] == [1, None, 2, None]
    assert answers[1]["error"]["hint"] == "its labels: +, -"
    assert answers[3]["error"]["message"] == "line 5 is not a JSON object in UTF-8"
    assert CANARY not in result.stdout + result.stderr
    assert result.exit_code == 2
    assert server.sent == [
        {"prompt": "same:2", "text": "a", "label": "+"},
        {"prompt": "other", "text": "c", "label": "-"},
    ]


def test_a_full_server_ends_a_stream_and_the_first_line_not_sent_is_named(run: Run, server: Server) -> None:
    rows = [{"prompt": "same", "text": f"t{n}", "label": "+"} for n in range(5)]
    result = run("feedback", "--file", "-", stdin=lines(*rows))
    assert result.exit_code == 7
    assert [json.loads(line)["waiting"] for line in result.stdout.splitlines()] == [1, 2, 3]
    assert result.stderr.splitlines()[:2] == [
        "line 4 and those after it were not sent",
        "error: 3 corrections are held",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("same",),
        ("same", "--text", "a"),
        ("--text", "a", "--label", "-"),
        ("same", "--text", "a", "--label", "-", "--file", "-"),
        ("same", "--file", "nowhere.jsonl"),
    ],
)
def test_half_a_correction_is_usage(run: Run, server: Server, words: tuple[str, ...]) -> None:
    assert run("feedback", *words).exit_code == 2
    assert server.sent == []


def test_the_list_counts_by_version_what_became_of_corrections(run: Run, registry: Registry) -> None:
    assert run("feedback", "list").stdout == ""
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    first, second = (registry.resolve(f"sentiment:{n}").id for n in (1, 2))
    counts = [
        FeedbackCount(1, first, "accepted", 5, noon),
        FeedbackCount(2, second, "accepted", 2, noon),
        FeedbackCount(3, first, "learned", 3, noon),
        FeedbackCount(4, first, "expired", 1, noon),
    ]
    registry.record_feedback(Buffer("b", "here"), counts, actor="ada")
    listed = (
        "sentiment:1\t5\t1\t3\t0\t1\t0\t2026-05-01T12:00:00Z\nsentiment:2\t2\t2\t0\t0\t0\t0\t2026-05-01T12:00:00Z\n"
    )
    assert run("feedback", "list").stdout == listed
    assert run("feedback", "list", "sentiment", "-o", "name").stdout == "sentiment:1\nsentiment:2\n"
    record = json.loads(run("feedback", "list", "-o", "json").stdout)["feedback"][0]
    assert (record["name"], record["number"], record["unsettled"]) == ("sentiment", 1, 1)
    assert run("feedback", "list", "shared/default").stdout == ""
    assert run("feedback", "list", "sentimant").exit_code == 3
