"""Properties that every method obeys, and every setting that trains something else; a new method is tested by being
listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from methods import (
    METHODS,
    Artifact,
    Backbone,
    Card,
    InvalidSetting,
    Learner,
    Plan,
    Prefix,
    Progress,
    PromptModule,
    Row,
    SoftPrompt,
    Start,
    Step,
    Task,
    encode,
    method,
    mixed,
    parts,
    predict,
    train,
)
from methods.checkpoint import load_checkpoint, save_checkpoint
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from methods.runtime.fingerprint import hash_weights
from methods.runtime.reading import read

Data = tuple[Task, list[Row]]

# Other settings of a method, and the numbers that one task's prompt is folded into, on 3 layers of 4 heads of 10.
PREFIX, SOFT = 5 * 3 * 2 * 4 * 10, 5 * 40
SETTINGS: Mapping[str, tuple[str, Mapping[str, object], int]] = {
    "head-only": ("head-only", {}, 0),
    "mpt": ("mpt", {"length": 5}, PREFIX),
    "mpt soft": ("mpt", {"length": 5, "form": "soft-prompt", "rank": 2, "placement": "first"}, SOFT),
    "mpt last": ("mpt", {"length": 5, "layers": "last:1"}, PREFIX // 3),
    "p-tuning": ("p-tuning", {"length": 5}, SOFT),
    "p-tuning mlp": ("p-tuning", {"length": 5, "encoder": "mlp"}, SOFT),
    "p-tuning-v2": ("p-tuning-v2", {"length": 5}, PREFIX),
    "p-tuning-v2 deep": ("p-tuning-v2", {"length": 5, "layers": "0,2", "reparameterization": "mlp"}, PREFIX // 3 * 2),
    "p-tuning-v2 shared": ("p-tuning-v2", {"length": 5, "share": True}, PREFIX),
    "prefix-tuning": ("prefix-tuning", {"length": 5}, PREFIX),
    "prefix-tuning mlp": ("prefix-tuning", {"length": 5, "reparameterization": "mlp"}, PREFIX),
    "prefix-tuning embeddings": ("prefix-tuning", {"length": 5, "variant": "embedding-only"}, SOFT),
    "prompt-tuning": ("prompt-tuning", {"length": 5}, SOFT),
    "prompt-tuning last": ("prompt-tuning", {"length": 5, "placement": "before-last", "init": "label-words"}, SOFT),
}
every_method = pytest.mark.parametrize("name", sorted(METHODS))
every_setting = pytest.mark.parametrize("setting", SETTINGS)
every_default = pytest.mark.parametrize("setting", sorted(METHODS))
every_prompt = pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "head-only"])


class Case:
    """Two tasks of different kinds, and a learner for them."""

    def __init__(self, tiny: Backbone, setting: str, data: Sequence[Data]) -> None:
        self.tiny = tiny
        self.name, self.hyperparameters, self.numbers = SETTINGS[setting]
        self.tasks = [task for task, _ in data]
        self.rows = [rows for _, rows in data]
        self.examples = [[one for row in rows for one in encode(tiny, task, row)] for task, rows in data]

    def learner(self, seed: int = 1, start: Start | None = None) -> Learner:
        return Learner.new(self.tiny, method(self.name, self.hyperparameters), self.tasks, seed, start)

    def train(self, learner: Learner, epochs: int = 2, stop: int | None = None) -> tuple[list[Step], Progress]:
        progress = Progress(learner.optimizer())
        return self.go_on(learner, progress, epochs, stop), progress

    def go_on(self, learner: Learner, progress: Progress, epochs: int, stop: int | None = None) -> list[Step]:
        steps = []
        for step in train(learner, self.examples, Plan(epochs, 6, 7), progress):
            steps.append(step)
            if step.index == stop:
                break
        return steps

    def artifact(self, learner: Learner, k: int) -> Artifact:
        card = Card(self.tasks[k].name, self.tasks[k], self.name, {}, self.tiny.fingerprint)
        return Artifact(card, *learner.fold(k), learner.prompts.factors(k))

    def served(self, learner: Learner) -> list[Artifact]:
        return [Artifact.from_bytes(self.artifact(learner, k).to_bytes()) for k in range(2)]


@pytest.fixture
def case(tiny: Backbone, sentiment: Data, qa: Data, request: pytest.FixtureRequest) -> Case:
    return Case(tiny, request.node.callspec.params["setting"], [sentiment, qa])


def test_every_method_has_a_setting_here() -> None:
    assert {name for name, _, _ in SETTINGS.values()} == set(METHODS)


@every_method
def test_a_method_is_a_frozen_record(name: str) -> None:
    one = method(name, {})
    assert hash(one) == hash(method(name, {}))
    with pytest.raises(FrozenInstanceError):
        one.learning_rate = 1.0  # pyright: ignore[reportAttributeAccessIssue]


@every_setting
def test_loss_falls_and_the_backbone_stays_as_it_was(case: Case, setting: str) -> None:
    before = hash_weights(case.tiny.model)
    steps, _ = case.train(case.learner(), epochs=8)
    assert sum(s.loss for s in steps[-3:]) < 0.95 * sum(s.loss for s in steps[:3])
    assert hash_weights(case.tiny.model) == before == case.tiny.fingerprint.weights


@every_prompt
def test_every_number_that_trains_reaches_the_loss(case: Case, setting: str) -> None:
    learner = case.learner()
    case.train(learner, stop=3)
    for name, parameter in learner.prompts.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@every_setting
def test_folding_changes_no_answer_and_survives_its_file(case: Case, setting: str) -> None:
    learner = case.learner()
    case.train(learner)
    for k, examples in enumerate(case.examples):
        stored = case.artifact(learner, k).to_bytes()
        loaded = Artifact.from_bytes(stored)
        assert loaded.to_bytes() == stored
        batch, owner = collate(case.tiny, examples), torch.full((len(examples),), k)
        heads = [learner.head(task) for task in range(2)]
        with torch.no_grad():
            [before] = read(case.tiny, batch, Bank.of(learner.prompts.forms()), owner, heads)
        for row, output in zip(before.logits, predict(case.tiny, [(loaded, one) for one in examples]), strict=True):
            got = torch.from_numpy(output)
            torch.testing.assert_close(got, row[: len(got)], atol=1e-6, rtol=0)


@every_setting
def test_an_artifact_holds_the_folded_numbers_and_no_encoder(case: Case, setting: str) -> None:
    learner = case.learner()
    held = load(case.artifact(learner, 0).to_bytes())
    prompt = {key: one.numel() for key, one in held.items() if not key.startswith(("head.", "factors."))}
    kept = "embeddings" if case.numbers == SOFT else "key_values"
    assert prompt == ({f"prompt.0.{kept}": case.numbers} if case.numbers else {})
    factors = {key for key in held if key.startswith("factors.")}
    assert factors == ({"factors.u", "factors.v"} if case.name == "mpt" else set())
    assert case.artifact(learner, 0).nbytes == 4 * (case.numbers + 2 * 40 + 2)


@every_prompt
def test_one_more_task_adds_the_parameters_it_says(case: Case, setting: str) -> None:
    def trained(tasks: Sequence[Task]) -> PromptModule:
        return method(case.name, case.hyperparameters).build(case.tiny, tasks, torch.Generator())

    two, three = trained(case.tasks), trained([*case.tasks, case.tasks[0]])
    one_more, fewer = (sum(one.numel() for one in module.parameters()) for module in (three, two))
    assert one_more - fewer == two.parameters_per_task()


@every_setting
def test_a_mixed_batch_answers_as_every_row_alone(case: Case, setting: str) -> None:
    learner = case.learner()
    case.train(learner)
    served = case.served(learner)
    items = [(served[k], one) for k in range(2) for one in case.examples[k]][::-1]
    for item, output in zip(items, predict(case.tiny, items), strict=True):
        alone = predict(case.tiny, [item])[0]
        torch.testing.assert_close(torch.from_numpy(output), torch.from_numpy(alone), atol=1e-5, rtol=0)


@every_setting
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(case: Case, setting: str) -> None:
    def folded(seed: int, elsewhere: int) -> bytes:
        torch.manual_seed(elsewhere)
        state = torch.get_rng_state()
        learner = case.learner(seed)
        case.train(learner, epochs=1)
        assert torch.equal(torch.get_rng_state(), state)
        return case.artifact(learner, 0).to_bytes()

    assert folded(1, 5) == folded(1, 6)
    assert folded(1, 5) != folded(2, 5)


@every_setting
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(case: Case, setting: str, tmp_path: Path) -> None:
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
        case.go_on(second, progress, epochs=2)
        for k in range(2):
            assert case.artifact(second, k).to_bytes() == case.artifact(whole, k).to_bytes()


@every_prompt
def test_a_prompt_goes_on_where_a_version_ended(case: Case, setting: str) -> None:
    """At step 0 the version's logits under the version's own head, although the seed is another."""
    learner = case.learner()
    case.train(learner)
    version = case.served(learner)[0]
    again = case.learner(seed=99, start=Start(mixed([version.form], [3.0])))
    assert {type(part) for part in parts(again.prompts.fold(0))} == {type(part) for part in parts(version.form)}
    begun = replace(version, form=again.prompts.fold(0))
    for example in case.examples[0]:
        was, now = predict(case.tiny, [(version, example), (begun, example)])
        torch.testing.assert_close(torch.from_numpy(now), torch.from_numpy(was), atol=1e-5, rtol=0)


@every_prompt
def test_a_start_that_does_not_fit_is_refused_by_both_names(case: Case, setting: str) -> None:
    other = (
        SoftPrompt(torch.zeros(4, 40), "after-first")
        if case.numbers == SOFT
        else Prefix(torch.zeros(1, 2, 4, 4, 10), (1,))
    )
    with pytest.raises(
        InvalidSetting,
        match=r"given prompt is a (soft prompt|prefix) of length 4 .*; these settings need a \1 of length 5",
    ):
        case.learner(start=Start(other))
    foreign = Prefix(torch.zeros(1, 2, 4, 5, 10), (1,)) if case.numbers == SOFT else SoftPrompt(torch.zeros(5, 40))
    with pytest.raises(InvalidSetting, match=r"the given (shared )?prompt is a"):
        case.learner(start=Start(foreign))


def test_small_batches_of_many_tasks_leave_no_row_out(tiny: Backbone, sentiment: Data, qa: Data) -> None:
    """8 and 6 rows in batches of one: 14 steps an epoch, each with one row."""
    case = Case(tiny, "head-only", [sentiment, qa])
    learner = case.learner()
    progress = Progress(learner.optimizer())
    steps = list(train(learner, case.examples, Plan(3, 1, 7), progress))
    assert [(step.index, step.rows) for step in steps] == [(index, 1) for index in range(1, 43)]
    assert [step.index for step in steps if step.last_of_epoch] == [14, 28, 42]


@every_default
def test_a_checkpoint_of_other_data_is_refused(case: Case, setting: str, tmp_path: Path) -> None:
    learner = case.learner()
    _, progress = case.train(learner, stop=1)
    save_checkpoint(tmp_path, learner, progress, {"data": "a"})
    with pytest.raises(InvalidSetting, match="data changed"):
        load_checkpoint(tmp_path, learner, progress, {"data": "b"})


@every_default
def test_two_workers_add_up_to_one(case: Case, setting: str) -> None:
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


@every_default
def test_learning_a_second_time_leaves_the_first_artifact_alone(case: Case, setting: str) -> None:
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
