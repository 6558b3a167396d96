"""Rows to tokens, and back to the characters of an answer."""

from pathlib import Path

import pytest
import torch

from methods import Backbone, InvalidRow, Prefix, Row, SoftPrompt, Task, encode
from methods.rows.collation import collate
from tests.backbones import tiny as saved

PAIR = Task("nli", "pair", ("no", "yes"))
QA = Task("qa", "span-qa")


def words(tiny: Backbone, ids: list[int]) -> list[str]:
    return tiny.tokenizer.convert_ids_to_tokens(ids)


def test_a_pair_is_two_segments(tiny: Backbone) -> None:
    (one,) = encode(tiny, PAIR, Row("the film", "was good", "yes"))
    assert words(tiny, one.input_ids) == ["[CLS]", "the", "film", "[SEP]", "was", "good", "[SEP]"]
    assert one.token_type_ids == [0, 0, 0, 0, 1, 1, 1]
    assert one.label == 1


def test_an_answer_is_found_by_its_characters(tiny: Backbone) -> None:
    context = "the old bridge was red and blue"
    (one,) = encode(tiny, QA, Row("which colour", context, answers=("red and blue",), answer_start=19))
    assert words(tiny, one.input_ids[one.start : one.end + 1]) == ["red", "and", "blue"]
    assert [context[a:b] for a, b in (span for span in one.offsets if span)] == context.split()


def test_a_long_context_becomes_windows_that_cover_it(tiny: Backbone) -> None:
    context = " ".join(f"{a} river" for a in ("red", "blue", "old", "new") * 20) + " mayor"
    windows = encode(tiny, QA, Row("who", context, answers=("mayor",), answer_start=len(context) - 5))
    assert len(windows) > 1
    assert max(window.length for window in windows) <= tiny.max_length
    covered = {span for window in windows for span in window.offsets if span}
    assert sum(end - start for start, end in covered) == len(context.replace(" ", ""))
    assert [window.start >= 0 for window in windows] == [False] * (len(windows) - 1) + [True]


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        (PAIR, Row("  ", "x", "yes"), "empty text"),
        (PAIR, Row("secret", None, "yes"), "no second text"),
        (PAIR, Row("secret", "x", "secret"), "label that the task does not know"),
        (QA, Row("secret " * 40, "a city"), "question of"),
        (QA, Row("who", "\u200b"), "empty|without a single token|no second text"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_without_being_quoted(
    tiny: Backbone, task: Task, row: Row, reason: str
) -> None:
    with pytest.raises(InvalidRow, match=reason) as caught:
        encode(tiny, task, row)
    assert "secret" not in str(caught.value)


def test_padding_is_masked(tiny: Backbone) -> None:
    rows = [Row("which colour", "the bridge was red"), Row("who", "mayor")]
    batch = collate(tiny, [encode(tiny, QA, row)[0] for row in rows])
    assert batch.attention_mask.tolist() == [[1] * 9, [1] * 5 + [0] * 4] or batch.attention_mask.sum(1).tolist()[1] == 5
    assert batch.answerable.sum(1).tolist() == [4, 1]
    assert not (batch.answerable & (batch.attention_mask == 0)).any()


def test_a_prompt_that_takes_all_positions_is_refused_before_the_backbone_runs(tiny: Backbone) -> None:
    """64 positions less 62 leave no room for [CLS], a word and [SEP]."""
    whole = SoftPrompt(torch.zeros(62, 40), "first", shifts=True)
    with pytest.raises(InvalidRow, match="leaves 2 of the backbone's 64 positions"):
        encode(tiny, PAIR, Row("the film", "was good"), whole)
    assert encode(tiny, PAIR, Row("the film", "was good"), SoftPrompt(torch.zeros(62, 40)))


def test_a_decoder_keeps_room_for_an_answer_behind_a_prompt_that_takes_positions(tmp_path: Path) -> None:
    """64 positions less a prompt of 5 and an answer of 32 leave 27 tokens of text."""
    decoder = Backbone.load(str(saved("gpt2", tmp_path)))
    form = SoftPrompt(torch.zeros(5, 40), "first", shifts=True)
    (one,) = encode(decoder, Task("say", "generation"), Row("film " * 60), form)
    assert len(one.input_ids) == 27
    with pytest.raises(InvalidRow, match="leaves 0 of"):
        encode(decoder, Task("say", "generation"), Row("film"), SoftPrompt(torch.zeros(32, 40), "first", shifts=True))


def test_a_decoder_that_counts_its_positions_has_room_for_prefix_and_answer(tmp_path: Path) -> None:
    """A decoder prefix of 40 and an answer of 32 need 72 of 64 positions."""
    bart = Backbone.load(str(saved("bart", tmp_path)))
    layout = bart.layout("decoder")
    front = Prefix(torch.zeros(1, 2, layout.heads, 40, layout.head_dim), (0,), "decoder", shifts=True)
    with pytest.raises(InvalidRow, match="need 72 of the decoder's 64 positions"):
        encode(bart, Task("say", "generation"), Row("film"), front)
