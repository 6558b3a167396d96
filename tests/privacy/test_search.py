"""The search finds a word however it is written; a test that finds nothing is worth what its search is."""

import gzip
import os
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.privacy.contents import WINDOW, in_bytes
from tests.privacy.forms import forms
from tests.privacy.leaks import database, leaks
from tests.privacy.search import Hit, search

WORD, IDS = "qzxλόγος", [101, 30522, 7, 65535]
PATTERNS = {pattern: name for name, pattern in forms(WORD, IDS).items()}
LEAKS = leaks(WORD, IDS)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "file"
    file.parent.mkdir(parents=True)
    file.write_bytes(LEAKS[leak])
    (tmp_path / "clean").write_text("nothing to see")
    assert search(PATTERNS, time.time() - 60, tmp_path) == [Hit(str(file), leak)]


def test_a_word_that_a_database_cuts_in_two_is_found_in_its_log_and_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    with closing(database(file, WORD)):
        assert search(PATTERNS, 0, tmp_path) == [Hit(str(file), "SQLite: UTF-8")]
    assert not file.with_name("registry.db-wal").exists()
    assert WORD.encode() not in file.read_bytes()
    assert search(PATTERNS, 0, tmp_path) == [Hit(str(file), "SQLite: UTF-8")]


def test_a_leak_into_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / f"{WORD}.txt").touch()
    (tmp_path / f"of {WORD}").mkdir()
    (tmp_path / "link").symlink_to(f"/nowhere/{WORD}")
    assert [(Path(hit.file).name, hit.pattern) for hit in search(PATTERNS, 0, tmp_path)] == [
        ("link", "link: UTF-8"),
        (f"of {WORD}", "name: UTF-8"),
        (f"{WORD}.txt", "name: UTF-8"),
    ]


def test_other_words_and_other_ids_are_no_leak(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("qzxλόγο and qzx")
    (tmp_path / "b").write_bytes(np.asarray([*IDS[:3], 0], np.int64).tobytes())
    assert search(PATTERNS, 0, tmp_path) == []


def test_what_was_written_before_and_what_is_left_out_is_not_searched(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(WORD)
    assert search(PATTERNS, 0, tmp_path, but=[tmp_path / "mine"]) == [Hit(str(tmp_path / "theirs" / "rows"), "UTF-8")]
    assert search(PATTERNS, time.time() + 60, tmp_path) == []


def test_a_file_that_says_it_is_old_is_searched(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text(WORD)
    os.utime(tmp_path / "rows", (0, 0))
    assert search(PATTERNS, time.time() - 60, tmp_path) == [Hit(str(tmp_path / "rows"), "UTF-8")]


def test_a_word_on_the_border_of_two_windows_is_found(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.seek(WINDOW - 4)
        file.write(WORD.encode())
    assert search(PATTERNS, 0, tmp_path) == [Hit(str(tmp_path / "large"), "UTF-8")]


def test_a_damaged_member_hides_nothing_that_stands_before_the_damage() -> None:
    before, after = (str([*range(count)]).encode() for count in (1000, 20_000))
    whole = gzip.compress(before + WORD.encode() + after)
    damaged = b"\x1f\x8b\x08 PK\x03\x04 \x28\xb5\x2f\xfd" + whole[: len(whole) // 2]
    assert in_bytes(damaged, PATTERNS) == {"gzip: UTF-8"}


def test_a_word_has_one_pattern_for_each_way_to_write_it() -> None:
    """9 names and 3 of each base64; an ASCII word is the same in UTF-8, JSON, a URL, and in both alphabets."""
    assert len(forms("qzxvwkjp", IDS)) == 9 + 6 - 2 - 3
    assert {"JSON", "percent"}.isdisjoint(forms("qzxvwkjp", IDS))
    assert len(set(forms(WORD, IDS).values())) == len(forms(WORD, IDS))
