"""What is shown of a running server, by `promptctl top` and `promptctl serve status`."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from serve.schemas import Refused, SplitStatus, Status, TaskInfo, Traffic

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]

TRAFFIC = Traffic(process="ab", requests=40, rows=2_500, rejected=3, rows_per_s=812.4, p50_s=0.0121, p99_s=0.04)
SPLIT = SplitStatus(
    prompt="sentiment",
    alias="production",
    stable="sentiment:7",
    candidate="sentiment:8",
    percent=0,
    compared=1200,
    agreement=0.985,
    distance=0.01,
    failed=0,
    dropped=0,
)
STATUS = Status(
    ready=True,
    epoch=12,
    backbone={"name": "tiny", "config": "c", "weights": "w", "tokenizer": "t"},
    stale_since="2026-05-01T12:00:00+00:00",
    stale_reason="the registry does not answer",
    refused=[Refused(prompt="qa", alias="staging", version="qa:3", reason="not finite", serving="qa:2")],
    waiting_tokens=1204,
    resident_bytes=3 << 20,
    splits=[SPLIT],
    traffic=TRAFFIC,
)
AWAY = STATUS.model_copy(
    update={
        "epoch": 11,
        "refused": [],
        "splits": [],
        "stale_since": None,
        "traffic": TRAFFIC.model_copy(update={"process": "cd", "rows_per_s": 100.0, "p99_s": 0.09, "rejected": 0}),
    }
)
TASKS = [
    TaskInfo(prompt=name, kind=kind, labels=[], fields=[], optional=[], aliases=aliases)
    for name, kind, aliases in (
        ("qa", "span-qa", {"production": "qa:1", "staging": "qa:2"}),
        ("sentiment", "classification", {"production": "sentiment:7"}),
    )
]


class Server:
    """Answers one status after the other, the last one for good."""

    def __init__(self) -> None:
        self.statuses = [STATUS]
        self.refuses = False
        self.tokens: list[str | None] = []

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if self.refuses:
            return 401, {"error": {"code": "auth", "message": "this server asks for a token", "hint": "set one"}}
        if path == "/v1/tasks":
            return 200, {"tasks": [task.model_dump() for task in TASKS]}
        return 200, (self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]).model_dump()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.tokens.append(self.headers["Authorization"])
            status, answer = told.answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("PROMPTCTL_SERVER", f"http://127.0.0.1:{http.server_port}")
        yield told
        http.shutdown()
        thread.join()


def test_one_frame_shows_load_aliases_splits_and_troubles(run: Run, server: Server) -> None:
    shown = run("top", "--once")
    assert shown.exit_code == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    text = " ".join(" ".join(line) for line in lines)
    assert "epoch 12 tiny processes 1" in text
    assert "rows/s 812.4 p50 12.1 ms p99 40.0 ms rows 2,500 queue 1,204 tokens bank 3.0 MiB rejected 3" in text
    assert ["qa", "span-qa", "staging", "qa:2"] in lines
    assert "sentiment:8 shadow 98.5%" in text
    assert "refused qa@staging qa:3: not finite" in text
    assert "registry: the registry does not answer" in text


def test_processes_behind_one_address_are_added_up(server: Server) -> None:
    from rich.console import Console

    from orchestrator.cli.top import Watch
    from serve.client import Client

    server.statuses = [AWAY, STATUS]
    with Client(os.environ["PROMPTCTL_SERVER"]) as client:
        watch = Watch("there", client)
        watch.look()
        watch.look()
        watch.silent("no answer")
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 - the console closes nothing
    with console.file:
        console.print(watch.frame())
        text = " ".join(console.export_text().split())
    assert "epoch 12 tiny processes 2" in text
    assert "rows/s 912.4 p50 12.1 ms p99 90.0 ms rows 5,000 queue 2,408 tokens bank 6.0 MiB rejected 3" in text
    assert text.endswith("no answer")


def test_on_a_terminal_it_goes_on_until_it_is_interrupted(home: Path, server: Server) -> None:
    server.statuses = [STATUS, AWAY, STATUS.model_copy(update={"epoch": 13})]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "orchestrator.cli.main", "top", "--every", "0.2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        shown = ""
        while not all(seen in shown for seen in ("epoch 12", "processes 2", "epoch 13")):
            shown += os.read(ours, 65_536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(theirs)
    os.close(ours)


def test_the_status_is_short_for_a_person_and_whole_for_a_program(run: Run, server: Server) -> None:
    short = dict(line.split("\t") for line in run("serve", "status").stdout.splitlines())
    assert (short["ready"], short["epoch"], short["backbone"], short["bank MiB"]) == ("yes", "12", "tiny", "3")
    assert short["split sentiment@production"] == "sentiment:7 and sentiment:8, shadow"
    assert short["refused qa@staging"] == "qa:3: not finite"
    assert short["stale"].endswith("the registry does not answer")
    whole = json.loads(run("serve", "status", "-o", "json").stdout)["status"]
    assert Status(**{name: value for name, value in whole.items() if name != "server"}) == STATUS


def test_the_token_is_sent_and_one_that_is_not_let_in_is_exit_code_4(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTCTL_TOKEN", "pc_mine")
    server.refuses = True
    for command in (("serve", "status"), ("top", "--once")):
        refused = run(*command)
        assert refused.exit_code == 4
        assert refused.stderr == "error: this server asks for a token\n  set one\n"
    assert server.tokens == ["Bearer pc_mine"] * 2


@pytest.mark.parametrize("command", [("serve", "status"), ("top", "--once")])
def test_a_server_that_is_not_there_is_unavailable(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PROMPTCTL_SERVER", "http://127.0.0.1:9")
    assert run(*command).exit_code == 7
