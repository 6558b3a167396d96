"""What users do, step by step, with texts that must not be found on disk afterwards. A new step is a function and a
line in STEPS.
"""

import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tests.privacy.canaries import CORRECTIONS
from tests.privacy.loud import FAILED
from tests.privacy.stage import Stage
from tests.serve.servers import free_port

Step = Callable[[Stage], None]
TINY = ("--epochs", "1", "--batch-size", "4")


def add_tasks(stage: Stage) -> None:
    """Tasks are known by their files; a table with a description is refused, without repeating it."""
    stage.promptctl("task", "apply", str(stage.data / "tasks.toml"))
    stage.promptctl("task", "apply", str(stage.data / "described.toml"), exit_code=2)


def be_refused(stage: Stage) -> None:
    """Most rows of a file are malformed."""
    stage.promptctl("train", "--tasks", "refused", "--workers", "0", exit_code=2)


def crash_and_resume(stage: Stage) -> None:
    """kill -9 in mid-training, then on from the newest checkpoint; a second try has nothing left to do."""
    command = ("train", "--tasks", "mood", "--workers", "0", *TINY)
    run_id = stage.kill(stage.start(*command, PROMPTCTL_CHECKPOINT_S="0.05"), _in_mid_training)
    assert stage.left() == []
    stage.promptctl("train", "--resume", run_id)
    stage.promptctl("train", "--resume", run_id, exit_code=5)


def crash_on_ray(stage: Stage) -> None:
    """A worker that tells everybody what it reads, fails with it and is tried again; then kill -9 for all of Ray."""
    stage.kill(stage.start("train", "--tasks", "loud", "--epochs", "2", "--batch-size", "4"), _in_mid_training)
    assert (stage.data / FAILED).exists()
    assert list(stage.home.glob("ray/s/session_2*"))


def compare(stage: Stage) -> None:
    """Two methods beside each other."""
    stage.promptctl("compare", "--tasks", "mood", "--methods", "head-only", "--seeds", "1", "--workers", "0", *TINY)


def learn_on(stage: Stage) -> None:
    """Two sessions of a prompt that learns on; the second one brings no new label."""
    cheap = ("--set", "layers=last:1", "--set", "read_layers=last:1", "--set", "random_features=256")
    command = ("train", "--tasks", "mood,loud", "--method", "coda", "--name", "assistant", "--workers", "0")
    stage.promptctl(*command, *cheap, *TINY)


def serve_ask_and_correct(stage: Stage) -> None:
    """Requests that are answered and requests that are malformed, over HTTP and from the command line; then
    corrections, which are learned while the server runs.
    """
    stage.promptctl("promote", "mood:1", "assistant:2")
    port = free_port()
    server = stage.start("serve", "--local", "--port", str(port))
    try:
        _wait(server)
        _ask(stage, f"http://127.0.0.1:{port}")
        _correct(stage, f"http://127.0.0.1:{port}")
    finally:
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 0
    assert stage.clean(err)


STEPS: Sequence[Step] = (
    add_tasks,
    be_refused,
    crash_and_resume,
    crash_on_ray,
    compare,
    learn_on,
    serve_ask_and_correct,
)


def _in_mid_training(events: Sequence[Any]) -> bool:
    return any(event.get("phase") == "mpt" and event.get("step", 0) > 3 for event in events)


def _wait(server: subprocess.Popen[bytes]) -> None:
    assert server.stderr is not None
    assert any(b"serves on" in line for line in server.stderr), "the server did not start"


def _ask(stage: Stage, url: str) -> None:
    text = stage.canaries.text
    for body, status in (
        ({"prompt": "mood", "text": text("request")}, 200),
        ({"inputs": [{"prompt": "mood", "text": text("one of two")}, {"prompt": "gone", "text": text("other")}]}, 404),
        ({"prompt": "mood", text("unknown field"): text("its value")}, 422),
        ({"prompt": "mood", "text": {"is": text("object")}}, 422),
        ({"prompt": "mood", "question": text("question")}, 422),
        ({"prompt": "mood", "text": text("long") * 2000}, 422),
    ):
        answer = httpx.post(f"{url}/v1/predict", json=body, headers={"x-request-id": stage.canaries.words[0]})
        assert answer.status_code == status
        assert stage.clean(answer.content)
    for content in (text("no JSON").encode(), text("no UTF-8").encode("utf-16"), b'{"text": "' + text("half").encode()):
        assert httpx.post(f"{url}/v1/predict", content=content).status_code == 422
    path = f"{url}/{stage.canaries.words[0]}"
    assert httpx.get(path, params={"text": text("query string")}).status_code == 404
    stage.promptctl("query", "mood", text("query"), "-o", "json", PROMPTCTL_SERVER=url)
    lines = [json.dumps({"text": text("line")}), text("line that is no JSON"), json.dumps({"text": [text("list")]})]
    stage.promptctl("query", "mood", "-", stdin="\n".join(lines), exit_code=2, PROMPTCTL_SERVER=url)


def _correct(stage: Stage, url: str) -> None:
    """Corrections of one new label are learned. One whose label is a canary is the only one of it, and is lost."""
    text = stage.canaries.text
    for body, status in (
        ({"prompt": "assistant", "text": text("correction"), "label": "strange"}, 200),
        ({"prompt": "assistant", "text": text("lost correction"), "label": text("label")}, 200),
        ({"prompt": "assistant", "text": text("correction"), "label": [text("label")]}, 422),
        ({"prompt": "assistant", "text": text("correction"), "label": "strange", "version": text("version")}, 422),
    ):
        answer = httpx.post(f"{url}/v1/feedback", json=body)
        assert answer.status_code == status
        assert stage.clean(answer.content)
    rows = [json.dumps({"text": text(f"correction {number}")}) for number in range(CORRECTIONS - 1)]
    rows.append(text("line that is no JSON"))
    command = ("feedback", "assistant", "--label", "strange", "--file", "-")
    stage.promptctl(*command, stdin="\n".join(rows), exit_code=2, PROMPTCTL_SERVER=url)
    learned = stage.promptctl("correct", "assistant", "--margin", "1", "-o", "json", PROMPTCTL_SERVER=url)
    assert json.loads(learned)["correction"]["version"] == "assistant:3"
    held = httpx.get(f"{url}/v1/status").json()["feedback"]
    assert (held["accepted"], held["learned"], held["waiting"]) == (CORRECTIONS + 1, CORRECTIONS, 1)
