"""The baselines of a comparison: what each trains, what it starts at, and that the frozen backbone stays frozen."""

import copy
import math
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from methods import METHODS, Backbone, InvalidSetting, Learner, Plan, Progress, Row, Task, TextPrompt, encode, train
from methods.baselines import BASELINES, COMPARED, method
from methods.prefix_tuning import PrefixTuning
from methods.prompt import PromptModule
from methods.rows.collation import collate
from methods.runtime.fingerprint import hash_weights
from tests.backbones import tiny as tiny_of

Data = tuple[Task, list[Row]]
every_baseline = pytest.mark.parametrize("name", sorted(BASELINES))
TASK = Task("t", "classification", ("a", "b"))
TEXTS = ("the film was very good", "a bad and dull hotel in the north")


def build(backbone: Backbone, name: str, **hyperparameters: object) -> PromptModule:
    return method(name, hyperparameters).build(backbone, [TASK], torch.Generator().manual_seed(3))


def hidden(backbone: Backbone) -> Tensor:
    examples = [one for text in TEXTS for one in encode(backbone, TASK, Row(text))]
    with torch.no_grad():
        return backbone.hidden(collate(backbone, examples))


def noise(module: PromptModule) -> None:
    """Move every trainable, so that what only holds at the start does not hold any more."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for one in module.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=generator))


def trained(backbone: Backbone, name: str, data: Data) -> tuple[Learner, list[float]]:
    task, rows = data
    learner = Learner.new(backbone, method(name, {}), [task], seed=1)
    examples = [one for row in rows for one in encode(backbone, task, row)]
    steps = train(learner, [examples], Plan(epochs=15, batch_size=4, seed=2), Progress(learner.optimizer()))
    return learner, [step.loss for step in steps]


def weight(backbone: Backbone, name: str) -> Tensor:
    found = backbone.model.get_submodule(name).weight
    assert isinstance(found, Tensor)
    return found


def tensors(backbone: Backbone) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in backbone.model.state_dict().items()}


@every_baseline
def test_training_touches_the_copy_alone(tiny: Backbone, sentiment: Data, name: str) -> None:
    before, states = hash_weights(tiny.model), hidden(tiny)
    learner, losses = trained(tiny, name, sentiment)
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])
    assert hash_weights(tiny.model) == before == tiny.fingerprint.weights
    assert not any(one.requires_grad for one in tiny.model.parameters())
    assert torch.equal(hidden(tiny), states)
    assert (hidden(learner.prompts.adapted(tiny)) - states).abs().max() > 1e-3


@every_baseline
def test_the_same_seed_gives_the_same_weights(tiny: Backbone, sentiment: Data, name: str) -> None:
    first, second = (trained(tiny, name, sentiment)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_baseline
def test_a_baseline_is_a_frozen_record_without_a_prompt(tiny: Backbone, name: str) -> None:
    assert hash(method(name, {})) == hash(method(name, {}))
    with pytest.raises(FrozenInstanceError):
        method(name, {}).learning_rate = 1.0  # pyright: ignore[reportAttributeAccessIssue] - that it is refused
    assert build(tiny, name).forms() == [None]


@every_baseline
def test_several_tasks_at_once_are_refused(tiny: Backbone, name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} trains one task at a time, not 2"):
        method(name, {}).build(tiny, [TASK, TASK], torch.Generator())


def test_a_baseline_hides_no_method_and_is_not_published() -> None:
    assert set(COMPARED) == {*METHODS, *BASELINES}
    assert not set(METHODS) & set(BASELINES)


@every_baseline
def test_wrong_hyperparameters_are_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} has no hyperparameter 'lenght'; it has"):
        method(name, {"lenght": 3})
    with pytest.raises(InvalidSetting, match=rf"{name}\.learning_rate"):
        method(name, {"learning_rate": "fast"})


def test_methods_of_prompts_are_built_under_their_own_names() -> None:
    assert method("prefix-tuning", {"length": 3}) == PrefixTuning(length=3)


def test_lora_starts_exactly_at_the_backbone(tiny: Backbone) -> None:
    assert torch.equal(hidden(build(tiny, "lora").adapted(tiny)), hidden(tiny))


def test_lora_merged_into_the_weights_gives_the_same_states(tiny: Backbone) -> None:
    module = build(tiny, "lora", rank=3)
    noise(module)
    adapted = module.adapted(tiny)
    unmerged = hidden(adapted)
    assert (unmerged - hidden(tiny)).abs().max() > 0.1
    for one in list(adapted.model.modules()):
        if parametrize.is_parametrized(one, "weight"):
            parametrize.remove_parametrizations(one, "weight", leave_parametrized=True)
    assert not any("parametrizations" in name for name, _ in adapted.model.named_parameters())
    torch.testing.assert_close(hidden(adapted), unmerged, atol=1e-5, rtol=0)


def test_lora_adds_its_product_to_the_weights_by_hand(tiny: Backbone) -> None:
    """Rank 2, alpha 6: W + 3 B A. A = [[1, 0, ..], [0, 1, 0, ..]], B = rows [1, 2]: columns 0 and 1 grow by 3 and 6."""
    module = build(tiny, "lora", rank=2, alpha=6.0)
    a, b = list(module.parameters())[:2]
    with torch.no_grad():
        a.copy_(torch.eye(2, 40))
        b.copy_(torch.tensor([[1.0, 2.0]]).expand(40, 2))
    name = "encoder.layer.0.attention.self.query"
    old, new = (weight(one, name) for one in (tiny, module.adapted(tiny)))
    expected = torch.zeros(40, 40)
    expected[:, 0], expected[:, 1] = 3.0, 6.0
    torch.testing.assert_close(new - old, expected, atol=1e-6, rtol=0)


def test_lora_agrees_with_peft(tiny: Backbone) -> None:
    """peft's LoRA with our A and B, on a model of its own."""
    module = build(tiny, "lora", rank=3, alpha=6.0)
    noise(module)
    ours = list(module.parameters())
    theirs = copy.deepcopy(tiny)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["query", "value"], lora_dropout=0.0)
    wrapped: Any = peft.inject_adapter_in_model(config, theirs.model)
    layers = [one for one in wrapped.modules() if isinstance(one, peft.tuners.lora.Linear)]
    assert 2 * len(layers) == len(ours)
    with torch.no_grad():
        for layer, a, b in zip(layers, ours[::2], ours[1::2], strict=True):
            layer.get_parameter("lora_A.default.weight").copy_(a)
            layer.get_parameter("lora_B.default.weight").copy_(b)
    torch.testing.assert_close(hidden(module.adapted(tiny)), hidden(theirs), atol=1e-5, rtol=0)


def other(folder: Path, family: str) -> Backbone:
    return Backbone.load(str(tiny_of(family, folder)))


# What LoRA of rank 1 trains in 3 layers: H + H = 80 per projection. The values of Llama and Qwen3 have 2 heads, of 10
# and of 12 (whose queries are 4 * 12 = 48 wide, like T5's); of T5 and BART a classification reads the encoder alone.
TRAINED = {
    "roberta": 3 * (80 + 80),
    "distilbert": 3 * (80 + 80),
    "gpt2": 3 * (80 + 80),
    "llama": 3 * (80 + 60),
    "qwen3": 3 * (88 + 64),
    "t5": 3 * (88 + 88),
    "bart": 3 * (80 + 80),
}


@pytest.mark.parametrize("family", sorted(TRAINED))
def test_lora_finds_the_projections_of_every_architecture(tmp_path: Path, family: str) -> None:
    backbone = other(tmp_path, family)
    module = build(backbone, "lora", rank=1)
    assert module.parameters_per_task() == TRAINED[family]
    assert torch.equal(hidden(module.adapted(backbone)), hidden(backbone))
    noise(module)
    assert (hidden(module.adapted(backbone)) - hidden(backbone)).abs().max() > 1e-2


def test_to_generate_the_whole_model_is_adapted(tmp_path: Path) -> None:
    """T5: 3 encoder layers of one attention, 2 decoder layers of two, 88 + 88 each; biases it has none."""
    backbone, task = other(tmp_path, "t5"), Task("g", "generation")
    module = method("lora", {"rank": 1}).build(backbone, [task], torch.Generator())
    assert module.parameters_per_task() == (3 + 2 * 2) * 176
    whole = method("full", {}).build(backbone, [task], torch.Generator())
    assert whole.parameters_per_task() == sum(one.numel() for one in backbone.language_model().parameters())


WORDED = Task("w", "classification", ("a", "b"), TextPrompt(("{text} it was {mask}",), (("good",), ("bad",))))


@pytest.mark.parametrize("name", ["lora", "full"])
@pytest.mark.parametrize(("family", "task"), [("bert", WORDED), ("gpt2", "g"), ("t5", "g"), ("t5", WORDED)])
def test_what_says_words_learns_too(tmp_path: Path, name: str, family: str, task: Task | str) -> None:
    """Verbalizers and free text read the language model's own head, that of the copy."""
    backbone = other(tmp_path, family)
    before = hash_weights(backbone.language_model())
    if isinstance(task, str):
        task = Task(task, "generation")
    rows = [
        Row(text, label=label, target=target) for text, label, target in zip(TEXTS, "ab", ("red", "blue"), strict=True)
    ]
    _, losses = trained(backbone, name, (task, rows))
    assert losses[-1] < losses[0]
    assert hash_weights(backbone.language_model()) == before


def test_lora_leaves_the_keys_of_a_fused_projection_alone(tmp_path: Path) -> None:
    """GPT-2 keeps query, key and value side by side: columns 40 to 79 are the keys."""
    backbone = other(tmp_path, "gpt2")
    module = build(backbone, "lora", rank=1)
    noise(module)
    old, new = (weight(one, "h.0.attn.c_attn") for one in (backbone, module.adapted(backbone)))
    changed = (new - old).abs().sum(0) > 0
    assert changed.tolist() == [True] * 40 + [False] * 40 + [True] * 40


def test_an_adapter_starts_within_1e_4_of_the_backbone(tiny: Backbone) -> None:
    start, size = hidden(build(tiny, "adapter").adapted(tiny)), hidden(tiny).abs().max()
    torch.testing.assert_close(start / size, hidden(tiny) / size, atol=1e-4, rtol=0)
    assert not torch.equal(start, hidden(tiny))


def test_an_adapter_is_a_bottleneck_before_the_skip_connection(tiny: Backbone) -> None:
    """Of size 1 with W1 = 0, b1 = 2: what the projection gave, plus gelu(2) W2 + b2, whatever went in."""
    module = build(tiny, "adapter", bottleneck=1)
    down, down_bias, up, up_bias = list(module.parameters())[:4]
    with torch.no_grad():
        down.zero_()
        down_bias.fill_(2.0)
        up.copy_(torch.arange(40.0)[:, None])
        up_bias.fill_(7.0)
    name = "encoder.layer.0.attention.output.dense"
    states = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(1))
    old, new = (one.model.get_submodule(name)(states) for one in (tiny, module.adapted(tiny)))
    gelu = 2 * 0.5 * (1 + math.erf(2 / math.sqrt(2)))
    expected = gelu * torch.arange(40.0) + 7
    torch.testing.assert_close(new - old, expected.expand(2, 5, 40), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra"])
def test_adapters_fit_encoders_built_like_bert(tmp_path: Path, family: str) -> None:
    """Per layer two bottlenecks of 5: 40 * 5 + 5 + 5 * 40 + 40; 6 norms of 80 in the layers, one on the embeddings."""
    backbone = other(tmp_path, family)
    module = build(backbone, "adapter", bottleneck=5)
    assert module.parameters_per_task() == 3 * 2 * 445 + 6 * 80 + 2 * backbone.embedding_size
    size = hidden(backbone).abs().max()
    torch.testing.assert_close(hidden(module.adapted(backbone)) / size, hidden(backbone) / size, atol=1e-4, rtol=0)


def test_what_a_backbone_cannot_take_is_refused_with_the_reason(tiny: Backbone, tmp_path: Path) -> None:
    llama = other(tmp_path / "llama", "llama")
    with pytest.raises(InvalidSetting, match="no query and value projections in modernbert"):
        build(other(tmp_path / "modernbert", "modernbert"), "lora")
    with pytest.raises(InvalidSetting, match="built like BERT, RoBERTa or DistilBERT; this is llama"):
        build(llama, "adapter")
    with pytest.raises(InvalidSetting, match="bitfit trains biases, and llama has none"):
        build(llama, "bitfit")
    for name, key in (("lora", "rank"), ("adapter", "bottleneck")):
        with pytest.raises(InvalidSetting, match=f"{name}.{key}: Input should be greater than or equal to 1"):
            build(tiny, name, **{key: 0})


def test_bitfit_changes_biases_and_nothing_else(tiny: Backbone, sentiment: Data) -> None:
    learner, _ = trained(tiny, "bitfit", sentiment)
    old, new = tensors(tiny), tensors(learner.prompts.adapted(tiny))
    changed = {name for name, tensor in new.items() if not torch.equal(tensor, old[name])}
    assert changed <= {name for name in new if name.endswith(".bias")}
    # a bias of the keys shifts all scores of a query alike, so the softmax gives it no gradient but rounding
    assert changed >= {name for name in new if name.endswith(".bias") and ".key." not in name}


def test_each_baseline_counts_what_it_must_store(tiny: Backbone) -> None:
    """H = 40, 3 layers, inner size 56.

    lora of rank 8: 2 projections a layer, 8 * 40 + 40 * 8 each.
    adapter of 64: 2 a layer of 40 * 64 + 64 + 64 * 40 + 40, and 7 norms of 80.
    bitfit: query, key, value, output, its norm: 5 * 40; 56; 40 and its norm 40: 336 a layer; the embeddings' norm 40.
    full: everything but the pooler.
    """
    assert build(tiny, "lora").parameters_per_task() == 3 * 2 * 640
    assert build(tiny, "adapter").parameters_per_task() == 3 * 2 * 5224 + 7 * 80
    assert build(tiny, "bitfit").parameters_per_task() == 3 * 336 + 40
    own = [one for name, one in tiny.model.named_parameters() if not name.startswith("pooler.")]
    assert build(tiny, "full").parameters_per_task() == sum(one.numel() for one in own)


def test_every_parameter_that_counts_learns(tiny: Backbone, sentiment: Data) -> None:
    """A weight that no head reads would be counted and never move."""
    learner, _ = trained(tiny, "full", sentiment)
    adapted = learner.prompts.adapted(tiny).model
    old = tensors(tiny)
    for name, one in adapted.named_parameters():
        assert isinstance(one, nn.Parameter)
        assert not torch.equal(one, old[name]), name
