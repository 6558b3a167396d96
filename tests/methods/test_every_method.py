"""Properties that every entry of METHODS obeys; a new method is tested by being listed."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import (
    METHODS,
    Artifact,
    Backbone,
    Card,
    InvalidSetting,
    Learner,
    Plan,
    Progress,
    Row,
    Step,
    Task,
    encode,
    method,
    predict,
    train,
)
from methods.checkpoint import load_checkpoint, save_checkpoint
from methods.encoding import collate
from methods.fingerprint import hash_weights
from methods.forms import Bank

Data = tuple[Task, list[Row]]
every_method = pytest.mark.parametrize("name", sorted(METHODS))


class Case:
    """Two tasks of different kinds, and a learner for them."""

    def __init__(self, tiny: Backbone, name: str, data: Sequence[Data]) -> None:
        self.tiny, self.name = tiny, name
        self.tasks = [task for task, _ in data]
        self.rows = [rows for _, rows in data]
        self.examples = [[one for row in rows for one in encode(tiny, task, row)] for task, rows in data]

    def learner(self, seed: int = 1) -> Learner:
        hyperparameters = {} if self.name == "head-only" else {"length": 5}
        return Learner.new(self.tiny, method(self.name, hyperparameters), self.tasks, seed)

    def train(
        self, learner: Learner, epochs: int = 4, stop: int | None = None, **plan: int
    ) -> tuple[list[Step], Progress]:
        progress = Progress(learner.optimizer())
        return self.go_on(learner, progress, epochs, stop), progress

    def go_on(
        self, learner: Learner, progress: Progress, epochs: int, stop: int | None = None, **plan: int
    ) -> list[Step]:
        steps = []
        for step in train(learner, self.examples, Plan(epochs, 6, 7), progress):
            steps.append(step)
            if step.index == stop:
                break
        return steps

    def artifact(self, learner: Learner, k: int) -> Artifact:
        card = Card(self.tasks[k].name, self.tasks[k], self.name, {}, self.tiny.fingerprint)
        return Artifact(card, *learner.fold(k), learner.prompts.factors(k))


@pytest.fixture
def case(tiny: Backbone, sentiment: Data, qa: Data, request: pytest.FixtureRequest) -> Case:
    return Case(tiny, request.node.callspec.params["name"], [sentiment, qa])


@every_method
def test_a_method_is_a_frozen_record(name: str) -> None:
    one = method(name, {})
    assert hash(one) == hash(method(name, {}))
    with pytest.raises(FrozenInstanceError):
        one.learning_rate = 1.0  # pyright: ignore[reportAttributeAccessIssue]


@every_method
def test_loss_falls_and_the_backbone_stays_as_it_was(case: Case, name: str) -> None:
    before = hash_weights(case.tiny.model)
    steps, _ = case.train(case.learner(), epochs=20)
    assert sum(s.loss for s in steps[-3:]) < 0.95 * sum(s.loss for s in steps[:3])
    assert hash_weights(case.tiny.model) == before == case.tiny.fingerprint.weights


@every_method
def test_folding_changes_no_answer_and_survives_its_file(case: Case, name: str) -> None:
    learner = case.learner()
    case.train(learner)
    for k, examples in enumerate(case.examples):
        stored = case.artifact(learner, k).to_bytes()
        loaded = Artifact.from_bytes(stored)
        assert loaded.to_bytes() == stored
        batch = collate(case.tiny, examples)
        owner = torch.full((len(examples),), k)
        with torch.no_grad():
            states = case.tiny.hidden(batch, Bank.of(learner.prompts.forms()).rows(owner))
            before = learner.head(k).logits(states, batch)
        for row, output in zip(before, predict(case.tiny, [(loaded, one) for one in examples]), strict=True):
            got = torch.from_numpy(output)
            torch.testing.assert_close(got, row[: len(got)], atol=1e-6, rtol=0)


@every_method
def test_a_mixed_batch_answers_as_every_row_alone(case: Case, name: str) -> None:
    learner = case.learner()
    case.train(learner)
    served = [Artifact.from_bytes(case.artifact(learner, k).to_bytes()) for k in range(2)]
    items = [(served[k], one) for k in range(2) for one in case.examples[k]][::-1]
    for item, output in zip(items, predict(case.tiny, items), strict=True):
        alone = predict(case.tiny, [item])[0]
        torch.testing.assert_close(torch.from_numpy(output), torch.from_numpy(alone), atol=1e-5, rtol=0)


@every_method
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(case: Case, name: str) -> None:
    def folded(seed: int) -> bytes:
        learner = case.learner(seed)
        case.train(learner, epochs=1)
        return case.artifact(learner, 0).to_bytes()

    assert folded(1) == folded(1)
    assert folded(1) != folded(2)


@every_method
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(case: Case, name: str, tmp_path: Path) -> None:
    whole = case.learner()
    steps, _ = case.train(whole)
    for stop in (1, steps[-1].total // 2, steps[-1].total):
        folder = tmp_path / str(stop)
        folder.mkdir()
        first = case.learner()
        _, progress = case.train(first, stop=stop)
        save_checkpoint(folder, first, progress, {"data": "a"})
        second = case.learner(seed=99)
        progress = Progress(second.optimizer())
        load_checkpoint(folder, second, progress, {"data": "a"})
        case.go_on(second, progress, epochs=4)
        for k in range(2):
            assert case.artifact(second, k).to_bytes() == case.artifact(whole, k).to_bytes()


def test_small_batches_of_many_tasks_leave_no_row_out(tiny: Backbone, sentiment: Data, qa: Data) -> None:
    """8 and 6 rows in batches of one: 14 steps an epoch, each with one row."""
    case = Case(tiny, "head-only", [sentiment, qa])
    learner = case.learner()
    progress = Progress(learner.optimizer())
    steps = list(train(learner, case.examples, Plan(3, 1, 7), progress))
    assert [(step.index, step.rows) for step in steps] == [(index, 1) for index in range(1, 43)]
    assert [step.index for step in steps if step.last_of_epoch] == [14, 28, 42]


@every_method
def test_a_checkpoint_of_other_data_is_refused(case: Case, name: str, tmp_path: Path) -> None:
    learner = case.learner()
    _, progress = case.train(learner, stop=1)
    save_checkpoint(tmp_path, learner, progress, {"data": "a"})
    with pytest.raises(InvalidSetting, match="data changed"):
        load_checkpoint(tmp_path, learner, progress, {"data": "b"})


@every_method
def test_two_workers_add_up_to_one(case: Case, name: str) -> None:
    """Each worker's share of the gradient, summed, is the whole batch's gradient."""
    shares: list[Tensor] = []

    def first_gradient(rank: int, world: int) -> Tensor:
        got: list[Tensor] = []

        def reduce(flat: Tensor) -> Tensor:
            got.append(flat.clone())
            return flat

        learner = case.learner()
        progress = Progress(learner.optimizer())
        next(train(learner, case.examples, Plan(1, 6, 7, rank, world), progress, reduce))
        return got[0]

    whole = first_gradient(0, 1)
    shares = [first_gradient(rank, 2) for rank in range(2)]
    torch.testing.assert_close(shares[0] + shares[1], whole, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(shares[0], whole)


@every_method
def test_learning_a_second_time_leaves_the_first_artifact_alone(case: Case, name: str) -> None:
    learner = case.learner()
    case.train(learner, stop=2)
    artifact = case.artifact(learner, 0)
    before = artifact.to_bytes()
    case.train(learner, stop=2)
    assert artifact.to_bytes() == before


@every_method
def test_an_unknown_hyperparameter_is_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match="'lenght'"):
        method(name, {"lenght": 3})
    with pytest.raises(InvalidSetting, match="learning_rate"):
        method(name, {"learning_rate": "fast"})
