import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]
Row = dict[str, Any]


class Server:
    """Answers as a promptctl server does, and remembers how many rows each request had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.tokens: list[str | None] = []

    def answer(self, rows: list[Row]) -> tuple[int, Row]:
        """A label for every row; no row may be for an unknown prompt, or be without text."""
        self.sizes.append(len(rows))
        if any(row["prompt"] == "down" for row in rows):
            return 503, {"error": {"code": "unavailable", "message": "stopping", "hint": ""}}
        if any(row["prompt"] == "gone" for row in rows):
            return 404, {"error": {"code": "not_found", "message": "unknown prompt 'gone'", "hint": "look"}}
        if not all(row.keys() & {"question", "tokens"} or row.get("text") for row in rows):
            return 422, {"error": {"code": "invalid", "message": "a row without text", "hint": ""}}
        return 200, {"outputs": [self.output(row) for row in rows]}

    def output(self, row: Row) -> Row:
        """One output, its label the text in capitals; the last word and the last choice are the right ones."""
        about = {"prompt": row["prompt"], "version": f"{row['prompt']}:7", "digest": "sha256:ab", "epoch": 12}
        if "question" in row:
            return about | {"answer": row["context"][:3], "start": 0, "end": 3, "score": 0.9}
        if "tokens" in row:
            *others, _ = row["tokens"]
            return about | {"tags": ["O"] * len(others) + ["B"], "scores": [0.5] * len(others) + [0.75]}
        if "choices" in row:
            *others, last = row["choices"]
            return about | {"choice": last, "index": len(others), "scores": [0.1] * len(others) + [0.9]}
        if row["prompt"] == "story":
            return about | {"text": row["text"] + row.get("text_pair", "") + " ..."}
        label = row["text"].upper() + row.get("text_pair", "")
        return about | {"label": label, "scores": {label: 0.75, "other": 0.25}}


@contextmanager
def listening(server: Server) -> Iterator[str]:
    """Serve over HTTP for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.tokens.append(self.headers["Authorization"])
            status, answer = server.answer(body["inputs"])
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    with listening(server) as url:
        monkeypatch.setenv("PROMPTCTL_SERVER", url)
        yield server


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_pipe_gets_the_answer_as_json(run: Run, server: Server) -> None:
    result = run("query", "sentiment@staging", "good", "--text-pair", "!")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["label"], answer["prompt"], answer["epoch"]) == ("GOOD!", "sentiment@staging", 12)


def test_a_person_gets_what_was_said_how_surely_and_by_which_version(run: Run, server: Server) -> None:
    assert run("query", "sentiment", "good", "-o", "table").stdout == "GOOD\t0.75\tsentiment:7\n"
    question = ("query", "qa", "--question", "Who?", "--context", "Ada came.", "-o", "table")
    assert run(*question).stdout == "Ada\t0.9\tqa:7\n"


def test_words_choices_and_texts_are_asked_and_shown(run: Run, server: Server) -> None:
    tagged = run("query", "names", "--tokens", " We saw  Ada ", "-o", "table")
    assert tagged.stdout == "We\tO\t0.5\tnames:7\nsaw\tO\t0.5\tnames:7\nAda\tB\t0.75\tnames:7\n"
    quiz = ("query", "quiz", "The capital is", "--choice", "Lyon", "--choice", "Paris")
    assert run(*quiz, "-o", "table").stdout == "Paris\t0.9\tquiz:7\n"
    assert json.loads(run(*quiz).stdout)["index"] == 1
    story = run("query", "story", "Once", "--text-pair", " upon", "-o", "table")
    assert story.stdout == "Once upon ...\tstory:7\n"


def test_a_stream_is_answered_in_its_order_in_batches_of_64(run: Run, server: Server) -> None:
    result = run("query", "sentiment", "-", stdin=lines(*({"text": f"t{n}"} for n in range(150))))
    assert result.exit_code == 0
    assert [json.loads(line)["label"] for line in result.stdout.splitlines()] == [f"T{n}" for n in range(150)]
    assert server.sizes == [64, 64, 22]


def test_each_row_of_a_stream_may_name_its_own_prompt(run: Run, server: Server) -> None:
    rows = lines(
        {"prompt": "a", "text": "x"},
        {"prompt": "b", "question": "?", "context": "yes"},
        {"prompt": "c", "tokens": ["Ada", "Lee"]},
        {"prompt": "d", "text": "?", "choices": ["no", "yes"]},
    )
    answers = [json.loads(line) for line in run("query", "-", stdin=rows).stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["a", "b", "c", "d"]
    assert [answers[0]["label"], answers[1]["answer"], answers[2]["tags"], answers[3]["choice"]] == [
        *("X", "yes", ["O", "B"], "yes"),
    ]


def test_rows_that_fail_get_a_line_of_their_own_and_an_exit_code(run: Run, server: Server) -> None:
    rows = [{"text": f"t{n}"} for n in range(8)]
    rows[3] = {"text": ""}
    rows[5] = {"prompt": "gone", "text": "x"}
    data = lines(*rows[:7]) + b'{"text": \n' + lines(rows[7]) + b"\xff\n"
    result = run("query", "sentiment", "-", stdin=data)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("label") for answer in answers] == ["T0", "T1", "T2", None, "T4", None, "T6", None, "T7", None]
    faults = [(answer["line"], answer["error"]["code"]) for answer in answers if "error" in answer]
    assert faults == [(4, "invalid"), (6, "not_found"), (8, "invalid"), (10, "invalid")]
    assert result.exit_code == 2
    unknown_first = run("query", "sentiment", "-", stdin=lines(rows[5], rows[3]))
    assert unknown_first.exit_code == 3


def test_an_empty_stream_asks_nothing(run: Run, server: Server) -> None:
    assert run("query", "sentiment", "-").exit_code == 0
    assert server.sizes == []


def test_an_unknown_prompt_is_not_found(run: Run, server: Server) -> None:
    result = run("query", "gone", "text")
    assert result.exit_code == 3
    assert result.stderr == "error: unknown prompt 'gone'\n  look\n"


@pytest.mark.parametrize("arguments", [("text",), ("-",)])
def test_a_server_that_is_not_there_is_unavailable(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PROMPTCTL_SERVER", "http://127.0.0.1:9")
    assert run("query", "sentiment", *arguments, stdin=lines({"text": "x"})).exit_code == 7


def test_a_file_is_answered_like_a_stream_and_may_name_its_own_prompts(run: Run, server: Server) -> None:
    Path("rows.jsonl").write_bytes(lines({"text": "a"}, {"text": ""}, {"prompt": "b", "text": "c"}))
    result = run("query", "sentiment", "--file", "rows.jsonl")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("label", answer.get("line")) for answer in answers] == ["A", 2, "C"]
    assert (result.exit_code, result.stderr) == (2, "")
    Path("rows.jsonl").write_bytes(lines({"prompt": "b", "text": "c"}))
    assert json.loads(run("query", "--file", "rows.jsonl").stdout)["prompt"] == "b"
    assert run("query", "sentiment", "--file", "none.jsonl").exit_code == 2


def test_a_person_sees_on_stderr_how_far_a_file_is_while_the_answers_go_elsewhere(home: Path, server: Server) -> None:
    Path("rows.jsonl").write_bytes(lines(*({"text": f"t{n}"} for n in range(100))))
    ours, theirs = pty.openpty()
    with open("answers.jsonl", "wb") as answers:
        command = [sys.executable, "-m", "orchestrator.cli.main", "query", "sentiment", "--file", "rows.jsonl"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
        subprocess.run(command, stdout=answers, stderr=theirs, env=environment, check=True)
    shown = os.read(ours, 65_536).decode()
    for end in (ours, theirs):
        os.close(end)
    assert len(Path("answers.jsonl").read_bytes().splitlines()) == 100
    assert "1.6/1.6 kB" in shown  # 10 lines of 15 bytes and 90 of 16


def test_a_server_that_goes_says_how_far_it_came(run: Run, server: Server) -> None:
    rows = [{"prompt": "a", "text": "x"}] * 64 + [{"prompt": "down", "text": "x"}]
    result = run("query", "-", stdin=lines(*rows))
    assert len(result.stdout.splitlines()) == 64
    assert result.exit_code == 7
    assert result.stderr.splitlines()[0] == "line 65 and those after it were not answered"


def test_the_server_is_the_one_given_and_gets_the_token(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.environ["PROMPTCTL_SERVER"]
    monkeypatch.setenv("PROMPTCTL_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PROMPTCTL_TOKEN", "pc_mine")
    assert run("query", "sentiment", "good", "--server", there).exit_code == 0
    assert server.tokens == ["Bearer pc_mine"]


def test_nothing_to_ask_is_usage(run: Run) -> None:
    assert run("query", "sentiment").exit_code == 2
    assert run("query", "sentiment", "--context", "alone").exit_code == 2
    assert run("query").exit_code == 2
    assert run("query", "--tokens", "of no prompt").exit_code == 2
    assert run("query", "-", "a text").exit_code == 2


def test_a_stream_may_begin_with_a_mark_and_hold_blank_lines_and_half_characters(run: Run, server: Server) -> None:
    data = b"\xef\xbb\xbf" + lines({"text": "a"}) + b"\n" + b'{"text": "\\ud800"}\n' + lines({"text": "b"})
    result = run("query", "sentiment", "-", stdin=data)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("label", answer.get("line")) for answer in answers] == ["A", 3, "B"]
    assert result.exit_code == 2
