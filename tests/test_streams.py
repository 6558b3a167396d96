"""Streams of sessions: what a file may say, and which orders come of it."""

from pathlib import Path

import pytest

from orchestrator.continual.streams import Part, Stream, load, ordered
from orchestrator.errors import InvalidSpec

CUT = """
task = "clinc"
[[sessions]]
name = "banking"
labels = ["transfer", "balance", "limit"]
[[sessions]]
name = "travel"
labels = ["visa"]
[[sessions]]
name = "kitchen"
labels = ["recipe", "calories"]
"""


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    (tmp_path / "clinc.toml").write_text(CUT)
    return load("clinc", tmp_path)


def test_order_0_is_that_of_the_file(stream: Stream) -> None:
    assert ordered(stream, 0) == [
        Part("banking", "clinc", ("transfer", "balance", "limit")),
        Part("travel", "clinc", ("visa",)),
        Part("kitchen", "clinc", ("recipe", "calories")),
    ]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_other_order_shuffles_the_labels_over_sessions_of_the_same_sizes(stream: Stream, order: int) -> None:
    parts = ordered(stream, order)
    assert [(part.name, part.task, len(part.labels)) for part in parts] == [
        ("session 1", "clinc", 3),
        ("session 2", "clinc", 1),
        ("session 3", "clinc", 2),
    ]
    labels = [label for part in parts for label in part.labels]
    assert sorted(labels) == ["balance", "calories", "limit", "recipe", "transfer", "visa"]
    assert labels != [label for part in ordered(stream, 0) for label in part.labels]
    assert parts == ordered(stream, order), "the same order is the same again"


def test_a_stream_comes_with_the_package_and_one_of_that_name_in_the_home_goes_before_it(tmp_path: Path) -> None:
    ours = load("clinc150-10x15", tmp_path)
    assert (ours.task, [len(session.labels) for session in ours.sessions]) == ("clinc150", [15] * 10)
    assert [session.name for session in ours.sessions] == sorted(session.name for session in ours.sessions)
    (tmp_path / "clinc150-10x15.toml").write_text(CUT)
    assert load("clinc150-10x15", tmp_path).task == "clinc"


def test_orders_differ(stream: Stream) -> None:
    assert len({tuple(ordered(stream, order)) for order in range(5)}) == 5


def test_of_several_tasks_the_tasks_change_places(tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(6)]
    file = tmp_path / "many.toml"
    file.write_text(f"tasks = {names}")
    several = load(str(file), Path("nowhere"))
    assert ordered(several, 0) == [Part(name, name) for name in names]
    assert {part.task for part in ordered(several, 1)} == set(names)
    assert ordered(several, 1) != ordered(several, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no stream"),
        ("task = ", "Invalid value"),
        ("", "either tasks, or one task and its sessions"),
        ('task = "clinc"', "either tasks, or one task and its sessions"),
        (f'tasks = ["a"]\n{CUT}', "either tasks, or one task and its sessions"),
        (CUT.replace("visa", "limit"), "each label and each task in one session"),
        ('tasks = ["a", "b", "a"]', "each label and each task in one session"),
        (CUT.replace('["visa"]', "[]"), "sessions.1.labels"),
        (CUT.replace('"clinc"', '"clinc"\nseed = 3'), "seed"),
    ],
)
def test_what_a_stream_cannot_be_is_said(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "stream.toml").write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        load("stream", tmp_path)
    assert words in str(caught.value)
    assert "stream.toml" in str(caught.value)
