"""States below the lowest prompted layer are computed once, and nothing that is learned changes by it."""

from pathlib import Path

import pytest
import torch

from methods import Backbone, InvalidSetting, Learner, Plan, Prefix, Progress, Row, Task, encode, method, train
from methods.rows.encoding import Example
from methods.runtime.activations import Activations, lowest_layer
from methods.runtime.attention import Call
from tests.backbones import tiny as saved

Data = tuple[Task, list[Row]]
RESUMABLE = ["bert", "roberta", "distilbert", "electra", "modernbert", "gpt2", "llama", "qwen3"]


def examples(backbone: Backbone, data: Data) -> list[list[Example]]:
    task, rows = data
    return [[one for row in rows for one in encode(backbone, task, row)]]


def learned(backbone: Backbone, data: Data, *, remember: bool) -> list[torch.Tensor]:
    learner = Learner.new(backbone, method("head-only", {}), [data[0]], 1)
    encoded = examples(backbone, data)
    if remember:
        learner.remember(encoded)
    list(train(learner, encoded, Plan(3, 4, 7), Progress(learner.optimizer())))
    return list(learner.parameters())


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_forward_from_kept_states_ends_as_a_whole_one(name: str, tmp_path: Path, sentiment: Data) -> None:
    backbone = Backbone.load(str(saved(name, tmp_path)))
    (encoded,) = examples(backbone, sentiment)
    learner = Learner.new(backbone, method("prefix-tuning", {"length": 3, "layers": "last:1"}), [sentiment[0]], 1)
    rows = [(0, example) for example in encoded]
    plain = torch.cat([losses.total for losses in learner.losses(rows)])
    learner.remember([encoded])
    kept = torch.cat([losses.total for losses in learner.losses(rows)])
    torch.testing.assert_close(kept, plain, atol=1e-5, rtol=0)


def test_lower_layers_are_not_run_again(tiny: Backbone, sentiment: Data) -> None:
    """Of three layers with a prompt in the last, one is run: one call of its attention instead of three."""
    (encoded,) = examples(tiny, sentiment)
    kept = Activations(tiny, 2, [encoded])
    from methods.rows.collation import collate

    batch = collate(tiny, encoded[:2])
    call = Call(below=kept.below(encoded[:2], batch), visited=[])
    with torch.no_grad():
        tiny.run(tiny.sequence(batch, None), None, prompt_call=call)
    assert len(call.visited or []) == 1


def test_what_is_learned_is_the_same(tiny: Backbone, sentiment: Data) -> None:
    for ours, plain in zip(
        learned(tiny, sentiment, remember=True), learned(tiny, sentiment, remember=False), strict=True
    ):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)


def test_rows_beyond_the_bound_are_computed_each_time(tiny: Backbone, sentiment: Data) -> None:
    (encoded,) = examples(tiny, sentiment)
    whole = sum(len(example.input_ids) for example in encoded) * tiny.hidden_size * 4
    few = Activations(tiny, 2, [encoded[:4], encoded[4:]], max_bytes=whole - 1)
    assert 0 < sum(few.holds(example) for example in encoded) < len(encoded)
    assert not any(Activations(tiny, 2, [encoded], max_bytes=0).holds(example) for example in encoded)


def test_a_resumed_run_sees_the_same_states(tiny: Backbone, sentiment: Data) -> None:
    """Kept states depend on the data alone, not on the batch that first asks for them."""
    (encoded,) = examples(tiny, sentiment)
    from methods.rows.collation import collate

    batch = collate(tiny, encoded[3:5])
    first, second = (Activations(tiny, 1, [encoded]).below(encoded[3:5], batch) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first.states, second.states)


def test_a_prompt_that_touches_the_first_layer_leaves_nothing_to_keep(tiny: Backbone) -> None:
    layout = tiny.layout("encoder")
    front = Prefix(torch.zeros(1, 2, layout.heads, 2, layout.head_dim), (0,))
    with pytest.raises(InvalidSetting, match="nothing to cache"):
        lowest_layer(tiny, [front])
    assert lowest_layer(tiny, [None]) == 3
