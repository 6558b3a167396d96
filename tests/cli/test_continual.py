import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import Result

from orchestrator.continual.card import CORRECTIONS
from orchestrator.settings import Settings
from registry import Move, Registry, Version
from tests.streams import TASKS, settled

Run = Callable[..., Result]
SCORES = {"A_N": 0.81, "CAA": 0.855, "F (code)": 0.02, "F (paper)": 0.05, "F (max)": 0.1, "BWT": -0.1}


def grown(registry: Registry, number: int, sessions: list[str], accuracies: dict[str, float]) -> Version:
    """The next version of `assistant`, whose card is written by hand."""
    training = {"sessions": sessions, "start": f"assistant:{number - 1}" if number > 1 else None}
    metrics = {f"accuracy.{name}": value for name, value in accuracies.items()}
    data = {name: {"rows": {"train": 40, "validation": 7, "test": 150}} for name in sessions}
    card = {"method": "coda", "training": training, "metrics": metrics, "data": data}
    return registry.publish("assistant", b"%d" % number, card, idempotency_key=f"a{number}", actor="ada")


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    """Ten sessions, each of which loses two points of a hundred with every later one: 0.9 - 0.02 * (i - n)."""
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        for i in range(10):
            names = [f"task{n}" for n in range(i + 1)]
            grown(opened, i + 1, names, {name: 0.9 - 0.02 * (i - n) for n, name in enumerate(names)})
        yield opened


def memory(run: Run, reference: str) -> dict[str, Any]:
    result = run("continual", "report", reference, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["memory"]


def test_the_report_gives_each_number_its_name(run: Run, registry: Registry) -> None:
    """A_N = 0.9 - 0.02 * 45 / 10; the other numbers are worked out in tests/methods/test_scores.py."""
    found = memory(run, "assistant:10")
    assert found["scores"] == pytest.approx(SCORES)
    assert [one["version"] for one in found["sessions"]] == [f"assistant:{i}" for i in range(1, 11)]
    assert found["sessions"][2]["accuracies"] == pytest.approx([0.86, 0.88, 0.9])
    lines = [line.split("\t") for line in run("continual", "report", "assistant:10").stdout.splitlines()]
    assert lines[2][:2] == ["assistant:3", "task2"]
    assert [float(value) for value in lines[2][2:5]] == pytest.approx([0.86, 0.88, 0.9])
    assert [float(value) for value in lines[-1]] == pytest.approx([*SCORES.values()])


def test_a_prompt_with_nothing_in_production_is_reported_by_its_newest_version(run: Run, registry: Registry) -> None:
    assert memory(run, "assistant") == memory(run, "assistant:10")
    registry.promote([Move("assistant:2")], actor="ada")
    assert memory(run, "assistant")["reference"] == "assistant:2"
    assert run("continual", "report", "nobody").exit_code == run("continual", "report", "assistant:99").exit_code == 3


def test_an_older_version_is_reported_as_it_was_then(run: Run, registry: Registry) -> None:
    found = memory(run, "assistant:2")
    assert [one["name"] for one in found["sessions"]] == ["task0", "task1"]
    assert found["scores"]["A_N"] == pytest.approx(0.89)
    first = memory(run, "assistant:1")
    assert first["scores"] == {"A_N": 0.9, "CAA": 0.9} | dict.fromkeys(["F (code)", "F (paper)", "F (max)", "BWT"])


def test_the_report_is_drawn_into_the_home_or_where_one_says(
    run: Run, registry: Registry, home: Path, tmp_path: Path
) -> None:
    result = run("continual", "report", "assistant:10")
    png, svg = (home / "continual" / f"assistant-10.{kind}" for kind in ("png", "svg"))
    assert f"drawn: {png} {svg}; MLflow knows no run of it" in result.stderr
    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    own = tmp_path / "own.svg"
    assert run("continual", "report", "assistant:10", "--plot", str(own)).exit_code == 0
    assert ElementTree.parse(own).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert run("continual", "report", "assistant:10", "--plot", "own.jpeg").exit_code == 2


def test_corrections_are_a_line_of_their_own(run: Run, registry: Registry) -> None:
    names = ["task0", "task1", "task2", CORRECTIONS]
    after = {"task0": 0.85, "task1": 0.89, "task2": 0.9}
    training = {"sessions": names, "start": "assistant:3"}
    card = {"method": "coda", "training": training, "metrics": {f"accuracy.{k}": v for k, v in after.items()}}
    registry.publish("assistant", b"c", card | {"data": {}}, idempotency_key="c", actor="ada")
    found = memory(run, "assistant:11")
    assert (len(found["sessions"]), found["after_corrections"]) == (3, after)
    assert found["scores"] == pytest.approx(memory(run, "assistant:3")["scores"])
    lines = [line.split("\t") for line in run("continual", "report", "assistant:11").stdout.splitlines()]
    assert lines[3] == ["assistant:11", "corrections", "0.85", "0.89", "0.9"]


def test_a_session_that_could_not_be_judged_leaves_a_gap_and_no_scores(run: Run, registry: Registry) -> None:
    names = [f"task{n}" for n in range(11)]
    grown(registry, 11, names, dict.fromkeys(names[1:], 0.5))
    found = memory(run, "assistant:11")
    assert found["sessions"][-1]["accuracies"] == [None, *[0.5] * 10]
    assert found["scores"] == {}
    assert run("continual", "report", "assistant:11").exit_code == 0


def test_a_version_that_did_not_learn_in_sessions_is_refused(run: Run, registry: Registry) -> None:
    registry.publish("sentiment", b"s", {"method": "mpt", "metrics": {}}, idempotency_key="s", actor="ada")
    result = run("continual", "report", "sentiment:1")
    assert result.exit_code == 2
    assert "sentiment:1 did not learn in sessions" in result.stderr
    assert "--method coda" in result.stderr
    assert run("continual", "report", "nobody:1").exit_code == 3


@pytest.fixture
def settings(home: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home that knows tasks, and streams of them: `whole`, and `cut` of one task."""
    monkeypatch.setenv("PROMPTCTL_BACKBONE", str(tiny_folder))
    (home / "streams").mkdir()
    (home / "streams" / "whole.toml").write_text(f"tasks = {[*TASKS]}")
    (home / "streams" / "cut.toml").write_text(
        'task = "colours"\n'
        '[[sessions]]\nname = "warm"\nlabels = ["red"]\n'
        '[[sessions]]\nname = "cold"\nlabels = ["green", "blue"]\n'
    )
    return settled(home, tmp_path, tiny_folder)


def bench(run: Run, *arguments: str) -> Result:
    return run("continual", "bench", "--workers", "0", "--epochs", "1", *arguments)


def test_the_bench_has_a_line_for_each_method_over_all_orders(run: Run, settings: Settings, tmp_path: Path) -> None:
    picture = tmp_path / "bench.png"
    asked = ("--stream", "whole", "--methods", "ridge,ncm", "--seeds", "2", "--plot", str(picture), "-o", "json")
    result = bench(run, *asked)
    assert result.exit_code == 0, result.stderr
    lines = json.loads(result.stdout)["methods"]
    assert [(one["method"], one["orders"]) for one in lines] == [("ridge", 2), ("ncm", 2)]
    told = [line for line in result.stderr.splitlines() if "A_N" in line]
    assert [line.split(":")[0] for line in told] == ["ridge, order 0", "ncm, order 0", "ridge, order 1", "ncm, order 1"]
    ends = [float(line.split()[-1]) for line in told]
    assert [one["a_n"] for one in lines] == pytest.approx([sum(ends[::2]) / 2, sum(ends[1::2]) / 2], abs=1e-4)
    assert lines[0]["spread"] == pytest.approx(abs(ends[0] - ends[2]) / 2**0.5, abs=1e-4)
    assert all(one["f_max"] == pytest.approx(-one["bwt"]) or one["f_max"] > -one["bwt"] for one in lines)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_of_a_task_that_is_cut_come_in_the_session_of_their_label(run: Run, settings: Settings) -> None:
    result = bench(run, "--stream", "cut", "--methods", "ncm", "--seeds", "1", "-o", "json")
    assert result.exit_code == 0, result.stderr
    (line,) = json.loads(result.stdout)["methods"]
    assert (line["orders"], line["spread"]) == (1, None)
    assert 0 < line["a_n"] <= 1


def test_what_sees_all_sessions_at_once_has_nothing_to_draw(run: Run, settings: Settings, tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    asked = ("--stream", "cut", "--methods", "joint", "--seeds", "1", "--plot", str(picture), "-o", "json")
    result = bench(run, *asked)
    assert result.exit_code == 0, result.stderr
    (line,) = json.loads(result.stdout)["methods"]
    assert (line["caa"], line["f_max"], line["bwt"]) == (None, None, None)
    assert "nothing is drawn" in result.stderr
    assert not picture.exists()


@pytest.mark.parametrize(
    ("stream", "methods", "words"),
    [
        ('tasks = ["moods", "qa"]', "ncm", "task 'qa' is span-qa"),
        ('tasks = ["moods"]', "ncm,mpt", "mpt"),
        ('task = "moods"\n[[sessions]]\nname = "one"\nlabels = ["strange"]', "ncm", "label 'strange', which no row"),
    ],
)
def test_what_cannot_be_compared_is_said(
    run: Run, settings: Settings, tmp_path: Path, stream: str, methods: str, words: str
) -> None:
    file = tmp_path / "stream.toml"
    file.write_text(stream)
    result = bench(run, "--stream", str(file), "--methods", methods, "--seeds", "1")
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr
    assert result.stdout == ""


def test_an_attempt_that_fails_is_said_and_the_others_go_on(run: Run, settings: Settings) -> None:
    """dualprompt's layers are more than the tiny backbone has."""
    result = bench(run, "--stream", "cut", "--methods", "dualprompt,ncm", "--seeds", "1", "-o", "json")
    assert result.exit_code == 9
    assert "dualprompt, order 0: failed: " in result.stderr
    assert "1 of 2 attempts failed" in result.stderr
    assert [one["method"] for one in json.loads(result.stdout)["methods"]] == ["ncm"]
    assert bench(run, "--stream", "cut", "--methods", ",").exit_code == 2


def test_a_stream_that_is_not_there_is_said(run: Run, settings: Settings, home: Path) -> None:
    result = bench(run, "--stream", "gone")
    assert result.exit_code == 2
    assert f"there is no stream '{home / 'streams' / 'gone.toml'}'" in result.stderr


def test_a_prompt_that_learns_on_needs_a_name_of_its_own(run: Run, settings: Settings) -> None:
    command = ("train", "--tasks", "moods,places", "--method", "coda", "--workers", "0")
    for more, words in (((), "learns on under one name"), (("--name", "places"), "'places' is a task")):
        for plan in ((), ("--dry-run",)):
            result = run(*command, *more, *plan)
            assert result.exit_code == 2
            assert words in result.stderr
    assert run("prompt", "list").stdout == run("run", "list").stdout == ""
