"""Each part's numbers, worked by hand."""

import math

import numpy as np
import pytest
import torch

from methods import (
    Artifact,
    Backbone,
    Card,
    Classified,
    InvalidSetting,
    LinearHead,
    Prefix,
    Row,
    SoftPrompt,
    Span,
    SpanHead,
    Task,
    answer,
    encode,
    means,
    method,
    totals,
)
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.runtime.backbone import States


def test_mpt_is_the_shared_prompt_times_the_outer_product(tiny: Backbone) -> None:
    """P* = [[1, 2], [3, 4]], u = [2, 1], v = [1, 10]: P = [[2, 40], [3, 40]]."""
    task = Task("a", "classification", ("x", "y"))
    module = method("mpt", {"form": "soft-prompt", "length": 2}).build(tiny, [task], torch.Generator())
    module.load_state_dict(
        {
            "matrix": torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(1, 20),
            "u.0": torch.tensor([[2.0], [1.0]]),
            "v.0": torch.tensor([[1.0, 10.0] * 20]),
        }
    )
    folded = module.fold(0)
    assert isinstance(folded, SoftPrompt)
    assert folded.embeddings[:, :2].tolist() == [[2.0, 40.0], [3.0, 40.0]]


@pytest.mark.parametrize("form", ["prefix", "soft-prompt"])
@pytest.mark.parametrize("rank", [1, 3])
def test_every_mpt_task_begins_at_the_shared_prompt(tiny: Backbone, form: str, rank: int) -> None:
    tasks = [Task(name, "classification", ("x", "y")) for name in ("a", "b")]
    module = method("mpt", {"form": form, "rank": rank, "length": 6}).build(tiny, tasks, torch.Generator())
    shared, forms = module.shared(), module.forms()
    for one in forms:
        match shared, one:
            case (SoftPrompt(a), SoftPrompt(b)) | (Prefix(a), Prefix(b)):
                assert torch.equal(a, b)
            case other:
                raise AssertionError(other)


def test_mpt_counts_parameters_as_the_paper_does(tiny: Backbone) -> None:
    """Section 3.1: l x d shared and l + d per task; here l = 6, d = 40, and W = 3 * 2 * 40 = 240 for a prefix."""
    tasks = [Task(name, "classification", ("x", "y")) for name in ("a", "b")]
    soft = method("mpt", {"form": "soft-prompt", "length": 6}).build(tiny, tasks, torch.Generator())
    assert sum(p.numel() for p in soft.parameters()) == 6 * 40 + 2 * (6 + 40)
    assert soft.parameters_per_task() == 46
    prefix = method("mpt", {"length": 6}).build(tiny, tasks, torch.Generator())
    assert sum(p.numel() for p in prefix.parameters()) == 6 * 240 + 2 * (6 + 240)


def test_a_soft_mpt_keeps_its_placement_and_a_prefix_its_layers(tiny: Backbone) -> None:
    tasks = [Task(name, "classification", ("x", "y")) for name in ("a", "b")]
    soft = method("mpt", {"form": "soft-prompt", "placement": "before-last"}).build(tiny, tasks, torch.Generator())
    for form in (soft.shared(), *soft.forms()):
        assert isinstance(form, SoftPrompt)
        assert form.placement == "before-last"
    upper = method("mpt", {"layers": "1,2", "length": 6}).build(tiny, tasks, torch.Generator())
    for form in (upper.shared(), *upper.forms()):
        assert isinstance(form, Prefix)
        assert (form.layers, form.key_values.shape) == ((1, 2), (2, 2, 4, 6, 10))
    assert upper.parameters_per_task() == 6 + 2 * 2 * 40


@pytest.mark.parametrize(
    ("settings", "hint"),
    [({"placement": "first"}, "form=soft-prompt"), ({"form": "soft-prompt", "layers": 2}, "form=prefix")],
)
def test_a_setting_of_the_other_mpt_form_is_refused(tiny: Backbone, settings: dict[str, object], hint: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        method("mpt", settings).build(tiny, [Task("a", "classification", ("x", "y"))], torch.Generator())
    assert hint in caught.value.hint


def test_a_prefix_from_words_reproduces_their_keys_and_values(tiny: Backbone) -> None:
    """Layer 0's keys of a word sequence are W_k applied to its embeddings: the first layer can be worked by hand."""
    ids = torch.tensor(tiny.tokenizer.convert_tokens_to_ids(["red", "river"]))
    key_values = tiny.keys_and_values(ids)
    assert key_values.shape == (3, 2, 4, 2, 10)
    embeddings = tiny.model.get_submodule("embeddings")
    project = tiny.model.get_submodule("encoder.layer.0.attention.self.key")
    with torch.no_grad():
        keys = project(embeddings(input_ids=ids[None])).view(2, 4, 10).transpose(0, 1)
    torch.testing.assert_close(key_values[0, 0], keys)


def test_a_linear_head_pools_only_real_tokens(tiny: Backbone) -> None:
    """Hidden rows [1, 0], [3, 0] and a padded [100, 100]: mean [2, 0]; weights [[1, 0], [0, 1]], bias [0, 5]."""
    hidden = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [100.0, 100.0]]])
    batch = collate(tiny, [Example([1, 1], [0, 0], []), Example([1, 1, 1], [0, 0, 0], [])]).select(torch.tensor([0]))
    head = LinearHead(torch.eye(2), torch.tensor([0.0, 5.0]))
    states = States(hidden, hidden[:, 0], hidden[:, -1])
    assert head.logits(states, batch, tiny).tolist() == [[2.0, 5.0]]
    assert LinearHead(torch.eye(2), torch.zeros(2), "first").logits(states, batch, tiny).tolist() == [[1.0, 0.0]]


def test_a_span_head_never_points_outside_the_context(tiny: Backbone) -> None:
    """Uniform logits over 4 context tokens: the loss is ln 4 whatever stands elsewhere."""
    (one,) = encode(tiny, Task("qa", "span-qa"), Row("who", "the mayor was left", answers=("mayor",), answer_start=4))
    batch = collate(tiny, [one])
    head = SpanHead(torch.zeros(2, 40), torch.zeros(2))
    hidden = torch.randn(1, one.length, 40)
    logits = head.logits(States(hidden, hidden[:, 0], hidden[:, -1]), batch, tiny)
    torch.testing.assert_close(head.loss(logits, batch), torch.tensor([math.log(4)]))


def artifact(task: Task) -> Artifact:
    from methods import Fingerprint

    return Artifact(Card(task.name, task, "mpt", {}, Fingerprint("b", "c", "w", "t")), None)


def test_the_best_span_ends_after_it_starts(tiny: Backbone) -> None:
    """Start logits 0 5 0, end logits 6 1 2: the pair (1, 2) with 7 wins over (1, 0) with 11, which runs backwards."""
    row = Row("who", "red old river")
    (one,) = encode(tiny, Task("qa", "span-qa"), row)
    logits = np.zeros((one.length, 2), np.float32)
    places = [index for index, span in enumerate(one.offsets) if span]
    logits[places, 0], logits[places, 1] = [0, 5, 0], [6, 1, 2]
    given = answer(tiny, artifact(Task("qa", "span-qa")), row, [one], [logits])
    start = math.exp(5) / (math.exp(5) + 2)
    end = math.exp(2) / (math.exp(6) + math.exp(1) + math.exp(2))
    assert isinstance(given, Span)
    assert (given.text, given.start, given.end) == ("old river", 4, 13)
    assert given.score == pytest.approx(start * end)


def test_scores_are_a_softmax_over_the_labels(tiny: Backbone) -> None:
    task = Task("s", "classification", ("no", "yes"))
    given = answer(tiny, artifact(task), Row("x"), [], [np.array([0.0, math.log(3)], np.float32)])
    assert isinstance(given, Classified)
    assert given.label == "yes"
    assert given.scores == pytest.approx({"no": 0.25, "yes": 0.75})


def test_squad_metrics_by_hand() -> None:
    """Articles and punctuation do not count; "red old tower" against "old tower": precision 2/3, recall 1, F1 0.8."""
    task = Task("qa", "span-qa")
    rows = [Row("q", "c", answers=("The mayor!",)), Row("q", "c", answers=("bridge", "old tower"))]
    given = [Span("mayor", 0, 1, 1.0), Span("red old tower", 0, 1, 1.0)]
    assert means(totals(task, rows, given)) == pytest.approx({"f1": 0.9, "exact_match": 0.5})
    nothing = [Span("", 0, 0, 1.0), Span("the", 0, 1, 1.0)]
    assert means(totals(task, rows, nothing)) == {"f1": 0.0, "exact_match": 0.0}
