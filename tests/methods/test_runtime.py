"""Prompts and the frozen backbone, on every architecture: nobody's answer depends on anybody else's."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import Backbone, Bank, Form, InvalidSetting, Prefix, SoftPrompt, Stack
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.runtime.decoding import generate, spoken
from methods.types import PLACEMENTS, Batch
from tests.backbones import FAMILIES, tiny

TEXTS = ["the film was good", "a very slow train to the north and the south", "red", "what is new", "the mayor left"]
PREFIXED = sorted(set(FAMILIES) - {"mpnet", "deberta-v2"})
SPEAKING = ("gpt2", "llama", "qwen3", "t5", "bart")


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    return {name: Backbone.load(str(tiny(name, tmp_path_factory.mktemp(name)))) for name in FAMILIES}


def random(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def soft(backbone: Backbone, length: int, placement: Any = "after-first", *, shifts: bool = False) -> SoftPrompt:
    return SoftPrompt(random(length, backbone.embedding_size), placement, shifts)


def prefix(backbone: Backbone, length: int, layers: tuple[int, ...] = (0, 1), place: Any = None) -> Prefix:
    place = place or backbone.place
    layout = backbone.layout(place)
    return Prefix(random(len(layers), 2, layout.heads, length, layout.head_dim), layers, place)


def mixed_forms(backbone: Backbone) -> list[Form]:
    if not backbone.layouts:
        return [
            soft(backbone, 5),
            None,
            soft(backbone, 2, "first"),
            soft(backbone, 7, "before-last"),
            soft(backbone, 1),
        ]
    several: list[Form] = [
        prefix(backbone, 7),
        None,
        prefix(backbone, 2, (1,)),
        Stack((soft(backbone, 5), prefix(backbone, 3))),
        soft(backbone, 9, "first"),
    ]
    return several


def example(backbone: Backbone, words: str, pair: str | None = None, target: str = "") -> Example:
    encoded = backbone.tokenizer(words, pair)
    ids, parts = encoded["input_ids"], encoded.sequence_ids(0)
    said = backbone.tokenizer(target, add_special_tokens=False)["input_ids"]
    infix = parts.index(1) if 1 in parts else len(ids) - backbone.closes
    return Example(ids, [0] * len(ids), infix=infix, slots=(1, 3, 3), target_ids=said)


def padded(batch: Batch, front: int, back: int) -> Batch:
    """The same rows with more padding on either side."""

    def wider(name: str, tensor: Tensor) -> Tensor:
        if name in ("infix", "slots", "masked", "start", "end"):
            return torch.where(tensor >= 0, tensor + front, tensor)
        if tensor.dim() == 2 and not name.startswith("target"):
            return torch.nn.functional.pad(tensor, (front, back))
        return tensor

    return Batch(**{name: wider(name, getattr(batch, name)) for name in batch.__dataclass_fields__})


def states(backbone: Backbone, forms: list[Form], batch: Batch) -> list[Tensor]:
    """The hidden states of each row's real tokens."""
    with torch.no_grad():
        found = backbone.hidden(batch, Bank.of(forms).rows(torch.arange(len(forms))))
    assert found.shape[:2] == batch.input_ids.shape
    return [row[mask.bool()] for row, mask in zip(found, batch.attention_mask, strict=True)]


def of_texts(backbone: Backbone, forms: list[Form], texts: list[str]) -> list[Tensor]:
    return states(backbone, forms, collate(backbone, [example(backbone, text) for text in texts]))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixed_ragged_batch_equals_every_row_alone(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    together = of_texts(backbone, mixed_forms(backbone), TEXTS)
    for form, text, row in zip(mixed_forms(backbone), TEXTS, together, strict=True):
        torch.testing.assert_close(row, of_texts(backbone, [form], [text])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_is_the_text_with_the_vectors_among_it(
    backbones: dict[str, Backbone], name: str, placement: str
) -> None:
    """Real words as virtual tokens, counted as positions, give the states of the text that has those words there."""
    backbone = backbones[name]
    text, words = example(backbone, TEXTS[0], "the train is late"), [7, 9, 11]
    columns = {
        "first": [0] * 3,
        "after-first": [backbone.opens] * 3,
        "infix": [text.infix] * 3,
        "template": [1, 3, 3],
        "before-last": [len(text.input_ids) - backbone.closes] * 3,
    }[placement]
    ids = list(text.input_ids)
    for before, (column, word) in enumerate(zip(columns, words, strict=True)):
        ids.insert(column + before, word)
    virtual = [column + before for before, column in enumerate(columns)]
    kept = [place for place in range(len(ids)) if place not in virtual]
    hard = of_ids(backbone, ids)[kept]
    vectors = backbone.embed(torch.tensor(words))
    form = SoftPrompt(vectors, placement, shifts=True)  # pyright: ignore[reportArgumentType] - one of PLACEMENTS
    with torch.no_grad():
        ours = states(backbone, [form, None], collate(backbone, [text, example(backbone, TEXTS[1])]))[0]
    torch.testing.assert_close(ours, hard, atol=1e-5, rtol=0)


def of_ids(backbone: Backbone, ids: list[int]) -> Tensor:
    return states(backbone, [None], collate(backbone, [Example(ids, [0] * len(ids))]))[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_neighbours_and_padding_on_either_side_change_nothing(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    forms = [*mixed_forms(backbone)[:1], mixed_forms(backbone)[3]]
    batch = collate(backbone, [example(backbone, text) for text in TEXTS[:2]])
    plain = states(backbone, forms, batch)
    for front, back in ((0, 4), (5, 0)):
        for row, other in zip(plain, states(backbone, forms, padded(batch, front, back)), strict=True):
            torch.testing.assert_close(row, other, atol=1e-5, rtol=0)
    longer = of_texts(backbone, [forms[0], mixed_forms(backbone)[4]], [TEXTS[0], " ".join(TEXTS)])[0]
    torch.testing.assert_close(plain[0], longer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_prompt_changes_the_answer(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    bare = of_texts(backbone, [None], TEXTS[:1])[0]
    for form in mixed_forms(backbone):
        assert form is None or (of_texts(backbone, [form], TEXTS[:1])[0] - bare).abs().max() > 0.01


@pytest.mark.parametrize("name", FAMILIES)
def test_without_a_prompt_it_is_the_bare_model_bit_for_bit(backbones: dict[str, Backbone], name: str) -> None:
    from transformers import AutoModel

    backbone = backbones[name]
    bare: Any = AutoModel.from_pretrained(backbone.fingerprint.name).eval()
    reader = bare.get_encoder() if backbone.architecture == "encoder-decoder" else bare
    batch = collate(backbone, [example(backbone, text) for text in TEXTS])
    options: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if backbone.architecture == "decoder":  # what generate() of transformers passes for a text padded on the left
        options["position_ids"] = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = reader(**options).last_hidden_state
    nothing = Bank.of([None]).rows(torch.zeros(5, dtype=torch.long))
    for prompts in (None, nothing):
        with torch.no_grad():
            assert torch.equal(
                backbone.hidden(batch, prompts)[batch.attention_mask.bool()], expected[batch.attention_mask.bool()]
            )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_of_full_length_still_runs_and_keeps_its_length(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    full = "film " * (backbone.max_length - backbone.opens - backbone.closes)
    assert len(example(backbone, full).input_ids) == backbone.max_length == 64
    for form in mixed_forms(backbone):
        assert len(of_texts(backbone, [form], [full])[0]) == 64


@pytest.mark.parametrize("name", PREFIXED)
def test_a_prefix_in_the_last_layer_leaves_the_layers_below_alone(backbones: dict[str, Backbone], name: str) -> None:
    """No layer gives no change; the last layer's prefix changes the end and not the attention before it."""
    from methods.runtime.attention import Call

    backbone = backbones[name]
    batch = collate(backbone, [example(backbone, TEXTS[0])])
    last = backbone.layout(backbone.place).layers - 1
    rows = Bank.of([prefix(backbone, 4, (last,))]).rows(torch.tensor([0]))
    seen = {}
    for kind, of_call in (("bare", {}), ("prefix", rows.prefix)):
        call = Call(of_call, captured={})
        with torch.no_grad():
            backbone.reader(input_ids=batch.input_ids, attention_mask=batch.attention_mask, prompt_call=call)
        seen[kind] = [call.captured[backbone.place, layer][0] for layer in range(last + 1)] if call.captured else []
    assert all(torch.equal(*pair) for pair in zip(seen["bare"], seen["prefix"], strict=True))
    with torch.no_grad():
        assert not torch.allclose(backbone.hidden(batch), backbone.hidden(batch, rows))


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2", "t5", "bart"])
def test_two_threads_with_different_prompts_do_not_cross_talk(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    forms = mixed_forms(backbone)
    alone = {place: of_texts(backbone, [forms[place]], TEXTS[:1])[0] for place in (0, 4)}
    wrong: list[int] = []

    def ask(place: int) -> None:
        for _ in range(15):
            if not torch.equal(of_texts(backbone, [forms[place]], TEXTS[:1])[0], alone[place]):
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(place,)) for place in (0, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["mpnet", "deberta-v2"])
def test_a_backbone_with_attention_of_its_own_refuses_a_prefix(backbones: dict[str, Backbone], name: str) -> None:
    with pytest.raises(InvalidSetting, match="cannot take a prefix"):
        backbones[name].layout("encoder")


def test_a_place_that_a_backbone_lacks_is_refused(backbones: dict[str, Backbone]) -> None:
    with pytest.raises(InvalidSetting, match="no cross attention; its places: encoder"):
        backbones["bert"].layout("cross")


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"albert", "mpnet"}))
def test_gradient_checkpointing_gives_equal_gradients(backbones: dict[str, Backbone], name: str) -> None:
    recomputing = Backbone.load(backbones[name].fingerprint.name, checkpointing=True)
    found = []
    for backbone in (backbones[name], recomputing):
        vectors = soft(backbone, 3)
        several: list[SoftPrompt | Prefix] = [vectors, *([prefix(backbone, 4)] if backbone.layouts else [])]
        learned = [one.embeddings if isinstance(one, SoftPrompt) else one.key_values for one in several]
        for tensor in learned:
            tensor.requires_grad_()
        batch = collate(backbone, [example(backbone, text) for text in TEXTS[:2]])
        rows = Bank.of([Stack(tuple(several)), several[-1]]).rows(torch.tensor([0, 1]))
        backbone.hidden(batch, rows).square().sum().backward()
        found.append([tensor.grad for tensor in learned])
    for ours, other in zip(*found, strict=True):
        assert ours.abs().max() > 0
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["albert", "mpnet"])
def test_a_backbone_without_gradient_checkpointing_says_so(backbones: dict[str, Backbone], name: str) -> None:
    with pytest.raises(InvalidSetting, match="has no gradient checkpointing"):
        Backbone.load(backbones[name].fingerprint.name, checkpointing=True)


def test_gradient_checkpointing_saves_layers_from_being_kept(backbones: dict[str, Backbone]) -> None:
    """Fewer tensors are kept for the backward pass: the switch does something."""
    kept = []
    for checkpointing in (False, True):
        backbone = Backbone.load(backbones["bert"].fingerprint.name, checkpointing=checkpointing)
        front = prefix(backbone, 4)
        front.key_values.requires_grad_()
        sizes: list[int] = []
        batch = collate(backbone, [example(backbone, TEXTS[1])])
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            backbone.hidden(batch, Bank.of([front]).rows(torch.tensor([0])))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def spoken_forms(backbone: Backbone) -> list[Form]:
    if backbone.architecture == "decoder":
        return mixed_forms(backbone)
    several: list[Form] = [
        prefix(backbone, 4, (0, 1, 2), "encoder"),
        None,
        prefix(backbone, 3, (0, 1), "decoder"),
        Stack((soft(backbone, 5), prefix(backbone, 2, (1,), "cross"), prefix(backbone, 3, (0,), "decoder"))),
        replace(prefix(backbone, 6, (0, 1), "cross")),
    ]
    return several


@pytest.mark.parametrize("name", SPEAKING)
def test_greedy_tokens_do_not_depend_on_cache_or_neighbours(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    forms, rows = spoken_forms(backbone), torch.arange(5)
    batch = collate(backbone, [example(backbone, text) for text in TEXTS])
    together = generate(backbone, batch, Bank.of(forms).rows(rows), 7)
    assert together == generate(backbone, batch, Bank.of(forms).rows(rows), 7, cache=False)
    for form, text, said in zip(forms, TEXTS, together, strict=True):
        alone = collate(backbone, [example(backbone, text)])
        assert generate(backbone, alone, Bank.of([form]).rows(torch.tensor([0])), 7) == [said]
    assert len({tuple(said) for said in together}) > 1


@pytest.mark.parametrize("name", SPEAKING)
def test_greedy_tokens_without_a_prompt_are_those_of_transformers(backbones: dict[str, Backbone], name: str) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    backbone = backbones[name]
    auto: Any = AutoModelForCausalLM if backbone.architecture == "decoder" else AutoModelForSeq2SeqLM
    bare = auto.from_pretrained(backbone.fingerprint.name).eval()
    batch = collate(backbone, [example(backbone, text) for text in TEXTS])
    out = bare.generate(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=6, do_sample=False, num_beams=1
    )
    new = out[:, batch.input_ids.shape[1] :] if backbone.architecture == "decoder" else out[:, 1:]
    end = backbone.tokenizer.eos_token_id
    expected = [row[: row.index(end)] if end in row else row for row in new.tolist()]
    assert generate(backbone, batch, None, 6) == expected


@pytest.mark.parametrize("name", SPEAKING)
def test_the_logits_of_a_target_do_not_depend_on_neighbours(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    forms, targets = spoken_forms(backbone), ["the bridge", "old", "a quiet day", "not", "green green"]
    rows = [example(backbone, text, target=said) for text, said in zip(TEXTS, targets, strict=True)]
    with torch.no_grad():
        together = spoken(backbone, collate(backbone, rows), Bank.of(forms).rows(torch.arange(5))).logits
        for form, row, logits in zip(forms, rows, together, strict=True):
            alone = spoken(backbone, collate(backbone, [row]), Bank.of([form]).rows(torch.tensor([0]))).logits[0]
            torch.testing.assert_close(logits[: len(row.target_ids)], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_each_place_of_an_encoder_decoder_acts_by_itself(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    batch = collate(backbone, [example(backbone, TEXTS[0], target="the bridge")])

    def run(form: Form) -> tuple[Tensor, Tensor]:
        prompts = Bank.of([form]).rows(torch.tensor([0]))
        with torch.no_grad():
            return backbone.hidden(batch, prompts), spoken(backbone, batch, prompts).logits

    encoded, said = run(None)
    for place in ("encoder", "decoder", "cross"):
        states, logits = run(prefix(backbone, 3, (0, 1), place))
        assert torch.equal(states, encoded) == (place != "encoder")
        assert (logits - said).abs().max() > 1e-3


@pytest.mark.parametrize("name", PREFIXED)
def test_prefixes_that_move_the_text_leave_their_neighbours_alone(backbones: dict[str, Backbone], name: str) -> None:
    """Both geometries in one batch, and in one row, in the first layer or above it."""
    backbone = backbones[name]
    moving = replace(prefix(backbone, 4, (0, 1, 2)), shifts=True)
    upper = replace(prefix(backbone, 5, (1, 2)), shifts=True)
    forms: list[Form] = [moving, prefix(backbone, 3, (0, 2)), upper, Stack((prefix(backbone, 2, (0, 1)), moving)), None]
    for form, text, row in zip(forms, TEXTS, of_texts(backbone, forms, TEXTS), strict=True):
        torch.testing.assert_close(row, of_texts(backbone, [form], [text])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_moved_and_unmoved_targets_do_not_meet(backbones: dict[str, Backbone], name: str) -> None:
    backbone = backbones[name]
    moving = replace(prefix(backbone, 4, (0, 1), "decoder"), shifts=True)
    upper = replace(prefix(backbone, 2, (1,), "decoder"), shifts=True)
    forms: list[Form] = [moving, prefix(backbone, 3, (0, 1), "decoder"), upper, None]
    rows = [example(backbone, text, target="the old bridge") for text in TEXTS[:4]]
    with torch.no_grad():
        together = spoken(backbone, collate(backbone, rows), Bank.of(forms).rows(torch.arange(4))).logits
        for form, row, logits in zip(forms, rows, together, strict=True):
            alone = spoken(backbone, collate(backbone, [row]), Bank.of([form]).rows(torch.tensor([0]))).logits[0]
            torch.testing.assert_close(logits, alone, atol=1e-5, rtol=0)
    batch = collate(backbone, [example(backbone, text) for text in TEXTS[:4]])
    prompts = Bank.of(forms).rows(torch.arange(4))
    assert generate(backbone, batch, prompts, 6) == generate(backbone, batch, prompts, 6, cache=False)


def test_a_cross_prefix_has_no_positions_to_move(backbones: dict[str, Backbone]) -> None:
    crossing = replace(prefix(backbones["t5"], 3, (0, 1), "cross"), shifts=True)
    with pytest.raises(InvalidSetting, match="moves no text"):
        backbones["t5"].check_form(crossing)
