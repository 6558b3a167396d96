"""Prompts and the frozen backbone: nobody's answer depends on anybody else's."""

import threading

import pytest
import torch
from torch import Tensor, nn
from transformers import BertModel

from methods import Backbone, Bank, Form, Prefix, SoftPrompt
from methods.attention import LayerPrefix, prefix_attention
from methods.encoding import Example, collate


def example(tiny: Backbone, words: str) -> Example:
    ids = tiny.tokenizer(words)["input_ids"]
    return Example(ids, [0] * len(ids), [])


def forms(tiny: Backbone) -> list[Form]:
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    heads, dim = tiny.heads, tiny.head_dim
    return [
        Prefix(random(3, 2, heads, 7, dim), (0, 1, 2)),
        None,
        Prefix(random(1, 2, heads, 2, dim), (2,)),
        SoftPrompt(random(5, tiny.hidden_size)),
        SoftPrompt(random(9, tiny.hidden_size), "first"),
    ]


TEXTS = ["the film was good", "a very slow train to the north and the south", "red", "what is new", "the mayor left"]


def hidden(tiny: Backbone, chosen: list[Form], texts: list[str]) -> list[Tensor]:
    batch = collate(tiny, [example(tiny, text) for text in texts])
    with torch.no_grad():
        states = tiny.hidden(batch, Bank.of(chosen).rows(torch.arange(len(texts))))
    return [row[: int(mask.sum())] for row, mask in zip(states, batch.attention_mask, strict=True)]


def test_a_mixed_ragged_batch_equals_every_row_alone(tiny: Backbone) -> None:
    together = hidden(tiny, forms(tiny), TEXTS)
    for form, text, row in zip(forms(tiny), TEXTS, together, strict=True):
        torch.testing.assert_close(row, hidden(tiny, [form], [text])[0], atol=1e-5, rtol=0)


def test_neighbours_and_padding_change_nothing(tiny: Backbone) -> None:
    one = hidden(tiny, forms(tiny)[:2], TEXTS[:2])[0]
    longer = hidden(tiny, [forms(tiny)[0], forms(tiny)[4]], [TEXTS[0], " ".join(TEXTS)])[0]
    torch.testing.assert_close(one, longer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("place", [0, 2, 3, 4])
def test_a_prompt_changes_the_answer(tiny: Backbone, place: int) -> None:
    bare = hidden(tiny, [None], TEXTS[:1])[0]
    assert (hidden(tiny, [forms(tiny)[place]], TEXTS[:1])[0] - bare).abs().max() > 0.01


def test_without_a_prompt_it_is_the_bare_model_bit_for_bit(tiny: Backbone, tiny_folder) -> None:
    bare = BertModel.from_pretrained(tiny_folder).eval()
    batch = collate(tiny, [example(tiny, text) for text in TEXTS])
    with torch.no_grad():
        expected = bare(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        assert torch.equal(tiny.hidden(batch), expected)
        assert torch.equal(tiny.hidden(batch, Bank.of([None]).rows(torch.zeros(5, dtype=torch.long))), expected)


@pytest.mark.parametrize("place", [0, 3, 4])
def test_a_text_of_full_length_still_runs_and_keeps_its_length(tiny: Backbone, place: int) -> None:
    full = "film " * (tiny.max_length - 2)
    assert example(tiny, full).length == tiny.max_length
    assert len(hidden(tiny, [forms(tiny)[place]], [full])[0]) == tiny.max_length


def test_a_prefix_in_the_last_layer_leaves_the_layers_below_alone(tiny: Backbone) -> None:
    batch = collate(tiny, [example(tiny, TEXTS[0])])
    layers = [tiny.model.get_submodule(f"encoder.layer.{index}") for index in range(3)]
    seen: dict[str, list[Tensor]] = {"bare": [], "prefix": []}
    for name, form in (("bare", None), ("prefix", forms(tiny)[2])):
        keep = seen[name].append
        hooks = [layer.register_forward_hook(lambda _m, _i, out, keep=keep: keep(out)) for layer in layers]
        with torch.no_grad():
            tiny.hidden(batch, Bank.of([form]).rows(torch.tensor([0])))
        for hook in hooks:
            hook.remove()
    assert [torch.equal(a, b) for a, b in zip(seen["bare"], seen["prefix"], strict=True)] == [True, True, False]


def test_two_threads_with_different_prompts_do_not_cross_talk(tiny: Backbone) -> None:
    alone = {place: hidden(tiny, [forms(tiny)[place]], TEXTS[:1])[0] for place in (0, 3)}
    wrong: list[int] = []

    def ask(place: int) -> None:
        for _ in range(30):
            if not torch.equal(hidden(tiny, [forms(tiny)[place]], TEXTS[:1])[0], alone[place]):
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(place,)) for place in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_attention_over_a_prefix_by_hand() -> None:
    """One head of dimension 1, query 1, text key 0 with value 3, prefix key ln 2 with value 9.

    The weights are e^0 : e^(ln 2) = 1 : 2, so the answer is (1 * 3 + 2 * 9) / 3 = 7; masked away, it is 3.
    """
    one = torch.ones(2, 1, 1, 1)
    layer = LayerPrefix(one * torch.tensor(2.0).log(), one * 9, torch.tensor([[True], [False]]))
    module = nn.Module()
    module.layer_idx = 4  # pyright: ignore[reportArgumentType]
    output, _ = prefix_attention(module, one, one * 0, one * 3, None, prompt_prefix={4: layer}, scaling=1.0)
    torch.testing.assert_close(output.flatten(), torch.tensor([7.0, 3.0]))


def test_a_causal_layer_stays_causal_behind_a_prefix() -> None:
    """Two text tokens: the first may see the prefix and itself, never the second (whose value is 100)."""
    key = torch.zeros(1, 1, 2, 1)
    value = torch.tensor([4.0, 100.0]).view(1, 1, 2, 1)
    layer = LayerPrefix(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 8.0), torch.tensor([[True]]))
    module = nn.Module()
    module.layer_idx, module.is_causal = 0, True  # pyright: ignore[reportArgumentType]
    output, _ = prefix_attention(module, key, key, value, None, prompt_prefix={0: layer}, scaling=1.0)
    torch.testing.assert_close(output.flatten(), torch.tensor([6.0, 112.0 / 3]))
