"""P-tuning: what computes the virtual tokens, and that they may stand anywhere in a template."""

import pytest
import torch
from torch import nn

from methods import (
    Artifact,
    Backbone,
    Card,
    Learner,
    Plan,
    Progress,
    Row,
    SoftPrompt,
    Task,
    TextPrompt,
    encode,
    method,
    predict,
    train,
)
from methods.beginnings.prompt_encoder import PromptEncoder

LABELS = ("negative", "positive")
TASK = Task("t", "classification", LABELS)


def encoder(*, recurrent: bool, length: int = 5, width: int = 40) -> PromptEncoder:
    generator = torch.Generator().manual_seed(1)
    return PromptEncoder(length, width, generator, recurrent=recurrent, rows=None)


def test_the_lstm_encoder_is_the_authors() -> None:
    """Embedding(5, 40) -> LSTM(40, 20, 2 layers, both directions) -> Linear -> ReLU -> Linear, by torch's own layers.

    Each direction of each LSTM layer has 4 * 20 * (40 + 20) + 2 * 4 * 20 = 4,960 numbers.
    """
    own = encoder(recurrent=True)
    embedding, lstm = nn.Embedding(5, 40), nn.LSTM(40, 20, num_layers=2, bidirectional=True, batch_first=True)
    mlp = nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40))
    others = [*embedding.parameters(), *lstm.parameters(), *mlp.parameters()]
    for one, other in zip(own.parameters(), others, strict=True):
        other.data.copy_(one.data)
    torch.testing.assert_close(own(), mlp(lstm(embedding(torch.arange(5))[None])[0])[0])
    assert sum(one.numel() for one in own.parameters()) == 5 * 40 + 4 * 4960 + 2 * (40 * 40 + 40)


def test_the_other_encoder_is_the_same_without_the_lstm() -> None:
    own = encoder(recurrent=False)
    mlp = nn.Sequential(nn.Embedding(5, 40), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40))
    for one, other in zip(own.parameters(), mlp.parameters(), strict=True):
        other.data.copy_(one.data)
    torch.testing.assert_close(own(), mlp(torch.arange(5)))


@pytest.mark.parametrize("recurrent", [True, False])
def test_only_the_lstm_makes_virtual_tokens_depend_on_one_another(recurrent: bool) -> None:
    own = encoder(recurrent=recurrent)
    before = own().detach()
    with torch.no_grad():
        own.embedding[0].neg_()
    changed = (own().detach() - before).abs().amax(1) > 1e-6
    assert changed.tolist() == [True] + [recurrent] * 4


@pytest.mark.parametrize("recurrent", [True, False])
def test_an_encoder_can_end_in_given_rows(recurrent: bool) -> None:
    rows = torch.randn(16, 40, generator=torch.Generator().manual_seed(2))
    own = PromptEncoder(16, 40, torch.Generator().manual_seed(1), recurrent=recurrent, rows=rows)
    torch.testing.assert_close(own(), rows, atol=1e-5, rtol=0)


def test_an_odd_width_still_fits() -> None:
    assert encoder(recurrent=True, width=7)().shape == (5, 7)


def test_lstms_are_drawn_as_torch_draws() -> None:
    """Uniform within 1 / sqrt(20) = 0.2236."""
    lstm = encoder(recurrent=True).lstm
    assert lstm is not None
    assert all(0.95 * 0.2236 < one.abs().max() <= 0.2237 for one in lstm.parameters())


@pytest.mark.parametrize("kind", ["lstm", "mlp"])
def test_only_the_embeddings_are_kept(tiny: Backbone, kind: str) -> None:
    learner = Learner.new(tiny, method("p-tuning", {"length": 6, "encoder": kind}), [TASK], seed=1)
    form, head = learner.fold(0)
    assert isinstance(form, SoftPrompt)
    assert form.embeddings.shape == (6, 40)
    assert Artifact(Card("t", TASK, "p-tuning", {}, tiny.fingerprint), form, head).nbytes == 4 * (6 * 40 + 2 * 40 + 2)


def test_virtual_tokens_of_many_templates_learn_and_answer_in_one_batch(
    tiny: Backbone, sentiment: tuple[Task, list[Row]]
) -> None:
    """Each row's tokens stand where its own task's template has them, whatever the others of its batch have."""
    templates = ("{prompt:2} {text} {prompt:3}", "it was {prompt:5} {text}", "{text} {prompt:4} and {prompt}")
    tasks = [Task(f"t{k}", "classification", LABELS, TextPrompt((template,))) for k, template in enumerate(templates)]
    data = [[one for row in sentiment[1] for one in encode(tiny, task, row)] for task in tasks]
    learner = Learner.new(tiny, method("p-tuning", {"length": 5}), [*tasks], seed=1)
    losses = [step.loss for step in train(learner, data, Plan(8, 8, 7), Progress(learner.optimizer()))]
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])
    served = [
        Artifact(Card(task.name, task, "p-tuning", {}, tiny.fingerprint), *learner.fold(k))
        for k, task in enumerate(tasks)
    ]
    items = [(artifact, data[k][row]) for row in range(2) for k, artifact in enumerate(served)]
    for item, output in zip(items, predict(tiny, items), strict=True):
        torch.testing.assert_close(
            torch.from_numpy(output), torch.from_numpy(predict(tiny, [item])[0]), atol=1e-5, rtol=0
        )
