"""What a prompt starts from: words, labels, a text, noise, or another prompt."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from methods import (
    Backbone,
    InvalidSetting,
    Prefix,
    Row,
    SoftPrompt,
    Stack,
    Start,
    Task,
    TextPrompt,
    encode,
    method,
    parts,
)
from methods.beginnings.geometry import Geometry, PrefixGeometry, SoftGeometry
from methods.beginnings.initializers import Initializer, common_words
from methods.forms import Form
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from tests.backbones import tiny as tiny_of

MOOD = Task("mood", "classification", ("good", "very bad", "dullish"))
QA = Task("qa", "span-qa")
SOFT = SoftGeometry(40, "after-first")


def prefix(backbone: Backbone, layers: int | str = "all") -> PrefixGeometry:
    return PrefixGeometry.of(backbone, backbone.place, layers)


def begun(backbone: Backbone, initializer: Initializer, geometry: Geometry, task: Task = MOOD, seed: int = 3) -> Tensor:
    [(_, rows)] = initializer.begin(backbone, [geometry], [task], torch.Generator().manual_seed(seed))
    return rows


def ids(backbone: Backbone, text: str) -> Tensor:
    return torch.tensor(backbone.tokenizer(text, add_special_tokens=False)["input_ids"])


def in_table(backbone: Backbone, rows: Tensor) -> list[int]:
    """The words that rows are the embeddings of."""
    table = backbone.embed(torch.arange(len(backbone.tokenizer)))
    found = (rows[:, None] == table[None]).all(2)
    assert found.sum(1).tolist() == [1] * len(rows)
    return found.long().argmax(1).tolist()


def hidden(backbone: Backbone, text: str, form: Form = None) -> Tensor:
    batch = collate(backbone, encode(backbone, MOOD, Row(text)))
    with torch.no_grad():
        return backbone.hidden(batch, Bank.of([form]).rows(torch.zeros(1, dtype=torch.long)))[0]


def test_vocabulary_words_are_distinct_and_common(tiny: Backbone) -> None:
    drawn = in_table(tiny, begun(tiny, Initializer(60), SOFT))
    assert len(set(drawn)) == 60
    words = tiny.tokenizer.convert_ids_to_tokens(drawn)
    assert all(word.isalpha() for word in words)
    assert in_table(tiny, begun(tiny, Initializer(60), SOFT, seed=4)) != drawn


def test_pieces_of_words_are_no_words(tiny: Backbone) -> None:
    """A vocabulary that marks where words begin: Ġthe and Ġbridge do, ing does not, Ġ, is none, Ġ2 is a number."""
    vocabulary = {"<unk>": 0, "ing": 1, "Ġthe": 2, "Ġ,": 3, "er": 4, "Ġbridge": 5, "Ġ2": 6}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    other = copy.copy(tiny)
    other.tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert sorted(common_words(other, 2, torch.Generator())) == [2, 5]


def test_more_words_than_there_are_cannot_be_drawn(tiny: Backbone) -> None:
    with pytest.raises(InvalidSetting, match=r"length 5000 cannot start from \d+ words"):
        common_words(tiny, 5000, torch.Generator())


def test_a_random_soft_prompt_is_uniform(tiny: Backbone) -> None:
    """2,000 numbers of uniform(-0.5, 0.5): mean 0, deviation 1 / sqrt(12) = 0.289, both within 4 standard errors."""
    rows = begun(tiny, Initializer(50, "random"), SOFT)
    assert -0.5 <= rows.min() < -0.49 < 0.49 < rows.max() < 0.5
    assert abs(rows.mean()) < 4 * 0.289 / 2000**0.5
    assert rows.std() == pytest.approx(0.289, abs=0.012)


def test_a_random_prefix_is_normal_and_small(tiny: Backbone) -> None:
    """12,000 numbers of N(0, 0.02): the deviation's standard error is 0.02 / sqrt(24,000) = 0.00013."""
    rows = begun(tiny, Initializer(50, "random"), prefix(tiny))
    assert rows.shape == (50, 3 * 2 * 40)
    assert rows.std() == pytest.approx(0.02, abs=0.0006)
    assert rows.abs().max() > 0.06


def test_a_row_per_label_is_the_mean_over_its_tokens(tiny: Backbone) -> None:
    rows = begun(tiny, Initializer(7, "label-words"), SOFT)
    for row, label in zip(rows, MOOD.labels, strict=False):
        assert torch.equal(row, tiny.embed(ids(tiny, label)).mean(0))
    assert [len(ids(tiny, label)) for label in MOOD.labels] == [1, 2, 4]
    assert len(set(in_table(tiny, rows[3:]))) == 4


def test_label_words_of_a_prefix_are_the_mean_of_their_keys_and_values(tiny: Backbone) -> None:
    rows = begun(tiny, Initializer(3, "label-words"), prefix(tiny, "1,2"))
    key_values = tiny.keys_and_values(ids(tiny, "good very bad dullish"))[1:]  # [2, 2, N, 7, D]
    means = [key_values[:, :, :, one].mean(3) for one in (slice(0, 1), slice(1, 3), slice(3, 7))]
    torch.testing.assert_close(rows, torch.stack([one.reshape(-1) for one in means]))


def test_a_verbalizers_words_stand_for_the_labels(tiny: Backbone) -> None:
    wording = TextPrompt(("{text} {mask}",), (("happy", "great"), ("awful",)))
    rows = begun(tiny, Initializer(2, "label-words"), SOFT, Task("t", "classification", ("x", "y"), wording))
    assert torch.equal(rows[0], tiny.embed(ids(tiny, "happy great")).mean(0))
    assert torch.equal(rows[1], tiny.embed(ids(tiny, "awful"))[0])


def test_a_task_without_labels_falls_back_to_the_vocabulary(tiny: Backbone) -> None:
    assert torch.equal(begun(tiny, Initializer(5, "label-words"), SOFT, QA), begun(tiny, Initializer(5), SOFT, QA))


def test_tasks_that_share_a_prompt_start_from_the_labels_of_all(tiny: Backbone) -> None:
    other = Task("colour", "classification", ("red", "blue"))
    settings = {"length": 5, "init": "label-words", "share": True}
    module = method("p-tuning-v2", settings).build(tiny, [MOOD, QA, other], torch.Generator())
    form = module.shared()
    assert isinstance(form, Prefix)
    torch.testing.assert_close(
        form.key_values[0, 0, :, 4], tiny.keys_and_values(ids(tiny, "good very bad dullish red blue"))[0, 0, :, 8]
    )


def test_a_text_is_repeated_or_cut_to_the_length(tiny: Backbone) -> None:
    words = ids(tiny, "the old bridge").tolist()
    assert in_table(tiny, begun(tiny, Initializer(7, "text", "the old bridge"), SOFT)) == (words * 3)[:7]
    assert in_table(tiny, begun(tiny, Initializer(2, "text", "the old bridge"), SOFT)) == words[:2]


def test_a_prefix_from_a_text_is_its_keys_and_values(tiny: Backbone) -> None:
    rows = begun(tiny, Initializer(3, "text", "the old bridge"), prefix(tiny))
    [part] = [prefix(tiny).part(rows)]
    assert isinstance(part, Prefix)
    assert torch.equal(part.key_values, tiny.keys_and_values(ids(tiny, "the old bridge")))


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (Initializer(0), "length 0"),
        (Initializer(-1, "random"), "length -1"),
        (Initializer(4, "text"), "cannot start from ''"),
        (Initializer(4, "text", " \n"), "leaves nothing of it"),
        (Initializer(4, "random", "the old bridge"), "init random reads no init_text"),
        (Initializer(2, "label-words"), "length 2 has no room for the words of the 3 labels of mood"),
    ],
)
def test_what_gives_no_rows_is_refused(tiny: Backbone, initializer: Initializer, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        begun(tiny, initializer, SOFT)


def test_a_prefix_cannot_start_from_more_than_the_backbone_reads(tiny: Backbone) -> None:
    with pytest.raises(InvalidSetting, match="start from 65 tokens; the backbone reads 64"):
        begun(tiny, Initializer(65, "text", "the old bridge"), prefix(tiny))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of("gpt2", tmp_path_factory.mktemp("gpt2"))))


def test_a_soft_prompt_from_a_text_is_that_text(decoder: Backbone, tiny: Backbone) -> None:
    """Where its virtual tokens count as positions, nothing tells them from words: on an encoder too."""
    for backbone, placement, opening in ((decoder, "first", 0), (tiny, "after-first", 1)):
        settings = {"length": 3, "init": "text", "init_text": "the old bridge", "placement": placement}
        [form] = method("prompt-tuning", settings).build(backbone, [MOOD], torch.Generator()).forms()
        assert isinstance(form, SoftPrompt)
        said = hidden(backbone, "the old bridge was very red")
        virtual = hidden(backbone, "was very red", replace(form, shifts=True))
        torch.testing.assert_close(virtual[opening:], said[opening + 3 :], atol=1e-5, rtol=0)
        assert (hidden(backbone, "was very red")[opening:] - said[opening + 3 :]).abs().max() > 0.1


def test_a_prefix_from_a_text_is_that_text_to_a_decoder_alone(decoder: Backbone, tiny: Backbone) -> None:
    """What stands before a causal text never sees it, so its keys and values are the same whatever follows."""
    for backbone, opening, same in ((decoder, 0, True), (tiny, 1, False)):
        geometry = replace(prefix(backbone), shifts=True)
        form = geometry.part(begun(backbone, Initializer(3, "text", "the old bridge"), geometry))
        said = hidden(backbone, "the old bridge was very red")[opening + 3 :]
        virtual = hidden(backbone, "was very red", form)[opening:]
        assert ((virtual - said).abs().max() < 1e-5) == same


def test_a_start_goes_on_moving_the_text(decoder: Backbone) -> None:
    start = SoftPrompt(torch.randn(5, 40), "first", shifts=True)
    [form] = (
        method("prompt-tuning", {"length": 5, "placement": "first"})
        .build(decoder, [MOOD], torch.Generator(), Start(start))
        .forms()
    )
    assert isinstance(form, SoftPrompt)
    assert (form.placement, form.shifts) == ("first", True)
    assert torch.equal(form.embeddings, start.embeddings)


def test_training_leaves_the_start_alone(tiny: Backbone) -> None:
    start = SoftPrompt(torch.ones(5, 40))
    module = method("prompt-tuning", {"length": 5}).build(tiny, [MOOD, QA], torch.Generator(), Start(start))
    with torch.no_grad():
        next(iter(module.parameters())).zero_()
    first, second = module.forms()
    assert isinstance(first, SoftPrompt)
    assert isinstance(second, SoftPrompt)
    assert (first.embeddings.sum(), second.embeddings.sum(), start.embeddings.sum()) == (0, 200, 200)


@pytest.mark.parametrize(
    ("given", "has", "needs"),
    [
        (SoftPrompt(torch.ones(5, 40), "first"), "placed first", "placed after-first"),
        (SoftPrompt(torch.ones(5, 24)), "width 24", "width 40"),
        (SoftPrompt(torch.ones(4, 40)), "length 4", "length 5"),
        (Stack((SoftPrompt(torch.ones(5, 40)),) * 2), "placed after-first and a soft prompt", "of length 5"),
    ],
)
def test_a_start_of_other_settings_is_refused(tiny: Backbone, given: Form, has: str, needs: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        method("prompt-tuning", {"length": 5}).build(tiny, [MOOD], torch.Generator(), Start(given))
    is_given, _, is_needed = str(caught.value).partition(";")
    assert has in is_given
    assert needs in is_needed
    assert "settings" in caught.value.hint


def test_every_place_of_an_encoder_decoder_has_its_own_keys_and_values_of_a_text(tmp_path: Path) -> None:
    backbone = Backbone.load(str(tiny_of("t5", tmp_path)))
    settings = {"length": 3, "init": "text", "init_text": "the old bridge"}
    [form] = method("prefix-tuning", settings).build(backbone, [Task("say", "generation")], torch.Generator()).forms()
    assert len(parts(form)) == 3
    for part in parts(form):
        assert isinstance(part, Prefix)
        own = backbone.keys_and_values(ids(backbone, "the old bridge"), part.place)
        assert torch.equal(part.key_values, own)
