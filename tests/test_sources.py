import hashlib
import json
import pickle
from pathlib import Path
from typing import get_args

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import methods
from orchestrator import errors
from orchestrator.sources import Source, TaskSpec, read
from orchestrator.specs import LABELLED, ROLES, Kind, parse

CANARY = "a sentence nobody may repeat"
QA = {"question": "Who came?", "context": "Ada came. Then Ben came.", "answer": "Ben"}


def spec(file: Path | str, kind: str = "classification", **more: object) -> TaskSpec:
    values = {"name": "t", "kind": kind, "train": str(file), "validation": str(file), "max_bad_fraction": 1.0}
    return parse(TaskSpec, values | more, "test")


def jsonl(file: Path, *records: object) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def reasons(source: Source) -> list[tuple[int, str]]:
    return [(bad.line, bad.reason) for bad in source.bad]


def test_rows_labels_and_the_hash_of_the_bytes_come_out(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"text": "good", "label": "pos"}, {"text": "bad", "label": "neg"})
    source = read(spec(file), "train")
    assert [(row.text, row.label) for row in source.rows] == [("good", "pos"), ("bad", "neg")]
    assert source.labels == ("neg", "pos")
    assert source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert source.bad == ()


def test_integers_and_booleans_are_labels_as_json_writes_them(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 3}, {"text": "b", "label": True}, {"text": "c", "label": False}]
    assert read(spec(jsonl(tmp_path / "a.jsonl", *rows)), "train").labels == ("3", "false", "true")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a"}', "missing field 'label'"),
        (b'{"text": "a", "label": null}', "missing field 'label'"),
        (b'{"label": "pos"}', "missing field 'text'"),
        (b'{"text": "  ", "label": "pos"}', "empty text in field 'text'"),
        (b'{"text": 5, "label": "pos"}', "field 'text' is not text"),
        (b'{"text": "a", "label": ["pos"]}', "field 'label' is not text"),
        (b'{"text": "a", "label": 0.5}', "field 'label' is not text"),
        (b'{"text": "\xff", "label": "pos"}', "not UTF-8"),
        (b'{"text": "\\ud800", "label": "pos"}', "field 'text' is not Unicode text"),
        (b'{"text": "a", "label": "pos"', "broken JSON"),
        (b'["a", "pos"]', "not a JSON object"),
        (b'{"text": "a", "label": ' + b"[" * 100_000, "broken JSON"),
    ],
)
def test_a_bad_line_is_named_and_reading_goes_on(tmp_path: Path, line: bytes, reason: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a", "label": "pos"}\n\n' + line + b'\n{"text": "b", "label": "neg"}\n')
    source = read(spec(file), "train")
    assert [row.text for row in source.rows] == ["a", "b"]
    assert reasons(source) == [(3, reason)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (QA | {"answer": "Cleo"}, "answer not in the context"),
        (QA | {"answer_start": 3}, "answer not at 'answer_start' in the context"),
        (QA | {"answer_start": -9}, "field 'answer_start' is not a character offset"),
        (QA | {"answer_start": "late"}, "field 'answer_start' is not a character offset"),
        (QA | {"answer": ""}, "empty text in field 'answer'"),
        (QA | {"answers": []}, "field 'answers' is not a list of answers"),
        (QA | {"answers": "Ben"}, "field 'answers' is not a list of answers"),
        (QA | {"context": ""}, "empty text in field 'context'"),
        ({"question": "Who?", "context": "Ada."}, "missing field 'answer'"),
    ],
)
def test_a_bad_question_is_named(tmp_path: Path, record: dict[str, object], reason: str) -> None:
    source = read(spec(jsonl(tmp_path / "a.jsonl", QA, record), "span-qa"), "train")
    assert len(source.rows) == 1
    assert reasons(source) == [(2, reason)]


WORDS = {"tokens": ["Ada", "came"], "tags": ["B-PER", "O"]}


def test_lists_in_a_csv_are_json_and_never_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = ["tokens,tags", '"[""New York"", ""grew""]","[""B-LOC"", ""O""]"', "Ben went,B-PER O", "\"['a', 'b']\",O O"]
    file.write_text("\n".join(lines) + "\n")
    source = read(spec(file, "tagging"), "train")
    assert [row.tokens for row in source.rows] == [("New York", "grew"), ("Ben", "went")]
    assert reasons(source) == [(4, "field 'tokens' begins like a list and is none in JSON")]
    assert source.labels == ("B-LOC", "B-PER", "O")


def test_words_and_tags_are_lists_or_split_at_spaces(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl",
        WORDS,
        {"tokens": " Ben  went home ", "tags": "B-PER O O"},
        {"tokens": ["New York", "", "grew"], "tags": [1, 0, 0]},
    )
    source = read(spec(file, "tagging"), "train")
    assert [(row.tokens, row.tags) for row in source.rows] == [
        (("Ada", "came"), ("B-PER", "O")),
        (("Ben", "went", "home"), ("B-PER", "O", "O")),
        (("New York", "", "grew"), ("1", "0", "0")),
    ]
    assert source.labels == ("0", "1", "B-PER", "O")
    assert source.bad == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"tokens": ["Ada"]}, "missing field 'tags'"),
        ({"tags": ["O"]}, "missing field 'tokens'"),
        (WORDS | {"tokens": 5}, "field 'tokens' is not a list of words"),
        (WORDS | {"tokens": ["Ada", 5]}, "field 'tokens' is not a list of words"),
        (WORDS | {"tokens": []}, "empty text in field 'tokens'"),
        (WORDS | {"tokens": ["", " "]}, "empty text in field 'tokens'"),
        (WORDS | {"tokens": ["Ada", "\ud800"]}, "field 'tokens' is not Unicode text"),
        (WORDS | {"tags": ["O"]}, "field 'tags' has not one tag for each word of 'tokens'"),
        (WORDS | {"tags": ["O", None]}, "field 'tags' is not text"),
        (WORDS | {"tags": ["O", "B-LOC"]}, "unknown label in field 'tags'"),
    ],
)
def test_a_bad_row_of_words_is_named(tmp_path: Path, record: dict[str, object], reason: str) -> None:
    file = jsonl(tmp_path / "a.jsonl", WORDS, record)
    source = read(spec(file, "tagging"), "validation", ["B-PER", "O"])
    assert [row.tokens for row in source.rows] == [("Ada", "came")]
    assert reasons(source) == [(2, reason)]


CHOICE = {"text": "The capital of France", "choices": ["Lyon", "Paris"], "label": "Paris"}


def test_the_right_choice_is_named_or_counted_from_0(tmp_path: Path) -> None:
    numbers = {"choices": ["1", "2", "0"], "label": "2"}
    file = jsonl(tmp_path / "a.jsonl", CHOICE, CHOICE | {"label": 0}, CHOICE | numbers, CHOICE | numbers | {"label": 2})
    source = read(spec(file, "multiple-choice"), "train")
    assert [row.label for row in source.rows] == ["Paris", "Lyon", "2", "0"]
    assert source.rows[0].choices == ("Lyon", "Paris")
    assert source.labels == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (CHOICE | {"choices": "Lyon Paris"}, "field 'choices' is not a list of choices"),
        (CHOICE | {"choices": []}, "field 'choices' is not a list of choices"),
        (CHOICE | {"choices": ["Paris"]}, "field 'choices' has not two choices or more, each once"),
        (CHOICE | {"choices": ["Paris", "Paris"]}, "field 'choices' has not two choices or more, each once"),
        (CHOICE | {"choices": ["Paris", " "]}, "empty text in field 'choices'"),
        (CHOICE | {"choices": ["Paris", 5]}, "field 'choices' is not text"),
        (CHOICE | {"label": "Nice"}, "field 'label' is no choice and no index of one"),
        (CHOICE | {"label": 2}, "field 'label' is no choice and no index of one"),
        (CHOICE | {"label": -1}, "field 'label' is no choice and no index of one"),
        (CHOICE | {"label": True}, "field 'label' is no choice and no index of one"),
        (CHOICE | {"text": ""}, "empty text in field 'text'"),
        ({"text": "a", "choices": ["b", "c"]}, "missing field 'label'"),
    ],
)
def test_a_bad_choice_is_named(tmp_path: Path, record: dict[str, object], reason: str) -> None:
    source = read(spec(jsonl(tmp_path / "a.jsonl", CHOICE, record), "multiple-choice"), "train")
    assert len(source.rows) == 1
    assert reasons(source) == [(2, reason)]


def test_a_row_to_generate_from_may_have_a_second_text(tmp_path: Path) -> None:
    plain = {"text": "Shorten this.", "target": "This."}
    file = jsonl(
        tmp_path / "a.jsonl",
        plain,
        plain | {"text_pair": "A long one."},
        plain | {"text_pair": ""},
        plain | {"text_pair": 5},
        plain | {"target": " "},
        {"text": "Shorten this."},
    )
    source = read(spec(file, "generation"), "train")
    assert [(row.text, row.pair, row.target) for row in source.rows] == [
        ("Shorten this.", None, "This."),
        ("Shorten this.", "A long one.", "This."),
        ("Shorten this.", None, "This."),
    ]
    assert reasons(source) == [
        (4, "field 'text_pair' is not text"),
        (5, "empty text in field 'target'"),
        (6, "missing field 'target'"),
    ]
    assert source.labels == ()


def test_lists_come_out_of_parquet_and_of_csv_only_by_their_spaces(tmp_path: Path) -> None:
    table = pa.table({"words": [["New York", "grew"]], "tags": [["B-LOC", "O"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("words,tags\nAda came,B-PER O\n")
    fields = {"tokens": "words"}
    (row,) = read(spec(tmp_path / "a.parquet", "tagging", fields=fields), "train").rows
    assert (row.tokens, row.tags) == (("New York", "grew"), ("B-LOC", "O"))
    (row,) = read(spec(tmp_path / "a.csv", "tagging", fields=fields), "train").rows
    assert (row.tokens, row.tags) == (("Ada", "came"), ("B-PER", "O"))


def test_the_kinds_are_those_that_methods_knows() -> None:
    assert (get_args(Kind), LABELLED) == (methods.KINDS, methods.LABELLED)
    assert set(ROLES) == set(methods.KINDS)


def test_an_answer_is_found_in_its_context(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", QA, QA | {"answer": "came", "answer_start": 19}, QA | {"answers": ["Ada", "Ben"]}
    )
    first, second, third = read(spec(file, "span-qa"), "train").rows
    # "Ada came. Then Ben came.": Ben starts at 15, the second "came" at 19
    assert (first.answers, first.answer_start) == (("Ben",), 15)
    assert (second.answers, second.answer_start) == (("came",), 19)
    assert (third.answers, third.answer_start) == (("Ben", "Ada"), 15)
    assert (first.text, first.pair) == ("Who came?", "Ada came. Then Ben came.")


def test_a_label_that_training_never_saw_is_bad_in_validation(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "pos"}, {"text": "b", "label": "neutral"})
    source = read(spec(file), "validation", ["neg", "pos"])
    assert reasons(source) == [(2, "unknown label in field 'label'")]
    assert source.labels == ("neg", "pos")


def test_labels_that_the_task_names_keep_their_order_and_bind_training_too(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "pos"}, {"text": "b", "label": "neutral"})
    source = read(spec(file, labels=("pos", "neg")), "train")
    assert source.labels == ("pos", "neg")
    assert reasons(source) == [(2, "unknown label in field 'label'")]


def test_csv_rows_may_span_lines_and_are_named_by_their_first(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"\xef\xbb\xbfbody,stars\r\n"  # line 1, after a byte order mark
        b'"one\r\ntwo",5\r\n'  # lines 2 and 3
        b"caf\xe9,4\r\n"  # line 4
        b"three,4,extra\r\n"  # line 5
        b",4\r\n"  # line 6
        b'"four"x,4\r\n'  # line 7
        b"five,1\r\n"  # line 8
    )
    source = read(spec(file, fields={"text": "body", "label": "stars"}), "train")
    assert [(row.text, row.label) for row in source.rows] == [("one\r\ntwo", "5"), ("five", "1")]
    assert reasons(source) == [
        (4, "not UTF-8"),
        (5, "3 cells under 2 columns"),
        (6, "missing field 'body'"),
        (7, "broken CSV"),
    ]
    assert source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_parquet_rows_are_numbered_and_bad_bytes_cost_one_row(tmp_path: Path) -> None:
    text = pa.array([b"one", b"\xff\xfe", b"three", None], pa.binary()).view(pa.string())
    table = pa.table({"text": text, "text_pair": ["a", "b", "c", "d"], "label": [True, False, False, True]})
    file = tmp_path / "a.parquet"
    pq.write_table(table, file)
    source = read(spec(file, "pair"), "train")
    assert [(row.text, row.pair, row.label) for row in source.rows] == [("one", "a", "true"), ("three", "c", "false")]
    assert reasons(source) == [(2, "not UTF-8"), (4, "missing field 'text'")]
    assert source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_url_is_read_like_a_path() -> None:
    data = b'{"text": "a", "label": "pos"}\n'
    with fsspec.open("memory://promptctl/a.jsonl", "wb") as file:
        file.write(data)  # pyright: ignore[reportAttributeAccessIssue]
    source = read(spec("memory://promptctl/a.jsonl"), "train")
    assert len(source.rows) == 1
    assert source.sha256 == hashlib.sha256(data).hexdigest()


def test_too_many_bad_rows_are_refused_with_counts_and_places_and_no_content(tmp_path: Path) -> None:
    bad = [{"text": CANARY}, {"text": "", "label": CANARY}, {"label": CANARY}, {"text": CANARY, "label": None}]
    file = jsonl(tmp_path / "a.jsonl", *bad, *[{"text": "fine", "label": "pos"}] * 16)
    with pytest.raises(errors.TooManyBadRows) as caught:
        read(spec(file, max_bad_fraction=0.15), "train")
    message = str(caught.value)
    assert "4 of 20 rows" in message
    assert "2 × missing field 'label'" in message
    assert f"{file}:1 missing field 'label'; {file}:2 empty text in field 'text'; {file}:3" in message
    assert f"{file}:4" not in message
    assert CANARY not in message + caught.value.hint
    assert len(read(spec(file, max_bad_fraction=0.2), "train").bad) == 4


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        ("gone.jsonl", errors.SourceNotFound, "no such file"),
        ("empty.csv", errors.InvalidSource, "has no rows"),
        ("noise.parquet", errors.InvalidSource, "not a readable Parquet file"),
        ("folder.jsonl", errors.SourceUnavailable, "cannot read"),
        ("nowhere://x/a.jsonl", errors.InvalidSpec, "nowhere"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, file: str, kind: type[Exception], words: str) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "noise.parquet").write_bytes(b"no index here")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(kind, match=words):
        read(spec(file if "://" in file else tmp_path / file), "train")


def test_a_task_without_a_test_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidSpec, match="'t' has no test file"):
        read(spec(tmp_path / "a.jsonl"), "test")


def test_a_url_with_a_password_is_named_without_it() -> None:
    secret = "memory://user:hunter2@host/gone.jsonl?signature=hunter2"
    with pytest.raises(errors.SourceNotFound) as caught:
        read(spec(secret), "train")
    assert "hunter2" not in str(caught.value)


WORDED = {"template": "{text} It was {mask}.", "verbalizer": {"x": ["good", "great"], "y": ["bad"]}}


def test_a_wording_keeps_its_templates_and_orders_its_words_by_the_labels() -> None:
    wording = spec("a.csv", text_prompt=WORDED, labels=("y", "x")).text_prompt
    assert wording is not None
    assert wording.templates == ("{text} It was {mask}.",)
    assert wording.words(("y", "x")) == (("bad",), ("good", "great"))
    several = spec("a.csv", "generation", text_prompt={"templates": ["{text}:", "Say {text}"]}).text_prompt
    assert several is not None
    assert (several.templates, several.words(())) == (("{text}:", "Say {text}"), ())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train": "simplecache::https://host/a.jsonl"}, "copy the rows to disk"),
        ({"train": "filecache://host/a.jsonl"}, "copy the rows to disk"),
        ({"train": "a.xlsx"}, "unknown format"),
        ({"name": "No Spaces"}, "name: a name is"),
        ({"fields": {"body": "text"}}, "unknown role body"),
        ({"labels": ["one"]}, "at least two"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"kind": "span-qa", "labels": ["a", "b"]}, "labels: a span-qa task has none"),
        ({"kind": "multiple-choice", "labels": ["a", "b"]}, "labels: a multiple-choice task has none"),
        ({"kind": "tagging", "labels": ["O"]}, "at least two"),
        ({"text_prompt": {}}, "text_prompt.templates: Field required"),
        ({"text_prompt": {"templates": []}}, "text_prompt.templates: Tuple should have at least 1"),
        ({"text_prompt": {"template": "{text}", "templates": ["{text}"]}}, "template or templates, not both"),
        ({"text_prompt": {"template": 5}}, "text_prompt.templates.0: Input should be a valid string"),
        ({"text_prompt": WORDED | {"colour": "red"}}, "text_prompt.colour: Extra inputs"),
        ({"text_prompt": WORDED | {"verbalizer": {"x": []}}}, "each label needs a word"),
        ({"text_prompt": WORDED | {"verbalizer": {"x": [" "]}}}, "no word is empty"),
        ({"text_prompt": WORDED, "kind": "tagging"}, "text_prompt: a tagging task has none"),
        ({"text_prompt": WORDED, "kind": "generation"}, "text_prompt: a generation task has no verbalizer"),
        ({"text_prompt": WORDED, "labels": ["x", "y", "z"]}, "has no words for 1 of 3 labels"),
        ({"text_prompt": WORDED, "labels": ["x", "z"]}, "has no words for 1 of 2 labels"),
        (
            {"text_prompt": {"template": "{text}", "verbalizer": {"x": ["a"], "y": ["b"], "z": ["c"]}}}
            | {"labels": ["x", "y"]},
            "has words for 'z', which is no label",
        ),
        ({"max_bad_fraction": 2}, "max_bad_fraction"),
        ({"colour": "red"}, "colour: Extra inputs"),
    ],
)
def test_an_impossible_task_is_refused_by_field(values: dict[str, object], words: str) -> None:
    with pytest.raises(errors.InvalidSpec, match=words):
        parse(TaskSpec, {"name": "t", "kind": "pair", "train": "a.csv", "validation": "a.csv"} | values, "t")


@pytest.mark.parametrize(
    "kind", [errors.TooManyBadRows, errors.SourceNotFound, errors.SourceUnavailable, errors.RunFailed]
)
def test_an_error_keeps_its_hint_when_it_travels(kind: type[errors.OrchestratorError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened", hint="what to do")))
    assert (type(error), str(error), error.hint) == (kind, "what happened", "what to do")


def test_a_parquet_column_that_no_role_reads_cannot_stop_a_task(tmp_path: Path) -> None:
    far = pa.array([2**62 + 1] * 2, pa.int64()).cast(pa.timestamp("us"), safe=False)
    table = pa.table({"text": ["a", "b"], "label": ["x", "y"], "when": far})
    pq.write_table(table, tmp_path / "train.parquet")
    file = str(tmp_path / "train.parquet")
    spec = TaskSpec(name="t", kind="classification", train=file, validation=file)
    assert [row.text for row in read(spec, "train").rows] == ["a", "b"]
