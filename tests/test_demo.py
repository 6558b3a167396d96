"""The demonstration data: reproducible, disjoint between splits, balanced, exact."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest

from orchestrator.demo.generate import FOLDER, ROWS, files, write
from orchestrator.demo.tables import LABELS, SPLITS, load

PAIRS = list(combinations(SPLITS, 2))


def rows(task: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / task / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def runs_of_five(texts: Iterator[str]) -> set[tuple[str, ...]]:
    split = [words(text) for text in texts]
    return {tuple(text[at : at + 5]) for text in split for at in range(len(text) - 4)}


def prose(split: str) -> Iterator[str]:
    yield from (row["text"] for row in rows("sentiment", split))
    for row in rows("qa", split):
        yield row["question"]
        yield row["context"]


def test_regenerating_gives_the_bytes_that_ship(tmp_path: Path) -> None:
    write(tmp_path)
    written = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    shipped = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*.jsonl")}
    assert written == shipped
    assert len(shipped) == 6


def test_the_files_stay_small() -> None:
    assert sum(len(content) for _, content in files()) < 400_000


def test_tasks_toml_names_every_file() -> None:
    tasks = tomllib.loads((FOLDER / "tasks.toml").read_text())["tasks"]
    assert {name: task["kind"] for name, task in tasks.items()} == {"sentiment": "classification", "qa": "span-qa"}
    assert {task[split] for task in tasks.values() for split in SPLITS} == {path for path, _ in files()}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_template(one: str, other: str) -> None:
    assert set(load(one).templates()).isdisjoint(load(other).templates())


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_splits_share_no_run_of_five_words(one: str, other: str) -> None:
    assert runs_of_five(prose(one)) & runs_of_five(prose(other)) == set()


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("kind", ["praise", "blame"])
def test_splits_share_no_word_of_opinion(kind: str, one: str, other: str) -> None:
    assert set(load(one).domains[0].words[kind]).isdisjoint(load(other).domains[0].words[kind])


@pytest.mark.parametrize(("owner", "other"), list(permutations(SPLITS, 2)))
def test_no_name_of_one_split_occurs_in_another(owner: str, other: str) -> None:
    names = [name for values in load(owner).names.values() for name in values]
    text = "\n".join(prose(other))
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)] == []


def test_tables_are_wide_enough() -> None:
    enough = {"train": (30, 24), "validation": (12, 8), "test": (16, 12)}
    for split, (templates, passages) in enough.items():
        tables = load(split)
        for label in LABELS:
            assert len({text for domain in tables.domains for text in domain.templates[label]}) >= templates
        assert len(tables.passages) >= passages


def test_no_text_and_no_context_occurs_twice() -> None:
    texts = [row["text"] for split in SPLITS for row in rows("sentiment", split)]
    contexts = [row["context"] for split in SPLITS for row in rows("qa", split)]
    assert len(set(texts)) == len(texts)
    assert len(set(contexts)) == len(contexts)


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_balanced(split: str) -> None:
    half = ROWS["sentiment"][split] // 2
    assert Counter(row["label"] for row in rows("sentiment", split)) == {"negative": half, "positive": half}


@pytest.mark.parametrize("split", SPLITS)
def test_no_single_word_gives_the_label_away(split: str) -> None:
    reviews = rows("sentiment", split)
    seen = Counter(word for row in reviews for word in set(words(row["text"])))
    positive = Counter(word for row in reviews if row["label"] == "positive" for word in set(words(row["text"])))
    pure = {word: count for word, count in seen.items() if positive[word] in (0, count)}
    assert max(pure.values()) <= 0.15 * len(reviews)
    common = [word for word, count in seen.items() if count > 0.15 * len(reviews)]
    assert [word for word in common if not 0.2 < positive[word] / seen[word] < 0.8] == []


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_stands_where_the_row_says_and_only_there(split: str) -> None:
    for row in rows("qa", split):
        start, answer = row["answer_start"], row["answer"]
        assert row["context"][start : start + len(answer)] == answer
        assert row["context"].count(answer) == 1
        assert answer not in row["question"]
        assert 1 <= len(answer.split()) <= 5


@pytest.mark.parametrize("split", SPLITS)
def test_every_context_has_a_rival_for_most_answers(split: str) -> None:
    """An answer's kind has a second slot in the passage on at least two questions of three."""
    asked = [(passage.context, slot) for passage in load(split).passages for _, slot in passage.ask]
    rivals = [len(set(re.findall(rf"\{{{slot.rstrip('12')}\d\}}", context))) > 1 for context, slot in asked]
    assert sum(rivals) / len(rivals) > 2 / 3


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("task", "columns"),
    [("sentiment", ["text", "label"]), ("qa", ["question", "context", "answer", "answer_start"])],
)
def test_rows_fit_the_schema(task: str, columns: list[str], split: str) -> None:
    read = rows(task, split)
    assert len(read) == ROWS[task][split]
    for row in read:
        assert list(row) == columns
        for value in row.values():
            assert value == value.strip() != "" if isinstance(value, str) else value >= 0


@pytest.mark.parametrize("split", SPLITS)
def test_the_prose_is_filled_in_and_punctuated(split: str) -> None:
    for text in prose(split):
        assert re.search(r"[\[\]{}|]|  |\.\.|[.!?] [a-z]|\b[Aa] [aeiou]", text) is None, text
        assert text[0].isupper() or text[0].isdigit()
        assert text[-1] in ".!?"


@pytest.mark.parametrize("split", SPLITS)
def test_contexts_are_short_passages(split: str) -> None:
    for row in rows("qa", split):
        assert 30 <= len(row["context"].split()) <= 70
        assert 2 <= len(re.findall(r"[.!?](?: |$)", row["context"])) <= 4
