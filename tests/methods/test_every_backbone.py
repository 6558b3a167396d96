"""The methods on a decoder and on an encoder-decoder: a task that generates beside one that classifies."""

from collections.abc import Mapping

import pytest
import torch

from methods import Artifact, Backbone, Card, Learner, Plan, Progress, Row, Task, encode, method, predict, train
from methods.rows.collation import collate
from methods.runtime.bank import Bank
from methods.runtime.fingerprint import hash_weights
from methods.runtime.reading import read
from tests.backbones import tiny as tiny_of

MOOD = Task("mood", "classification", ("bad", "good"))
SAID = Task("said", "generation")
SETTINGS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "mpt": ("mpt", {}),
    "prompt-tuning": ("prompt-tuning", {"placement": "first", "init": "text", "init_text": "the old bridge"}),
    "prefix-tuning": ("prefix-tuning", {}),
    "prefix-tuning mlp": ("prefix-tuning", {"reparameterization": "mlp", "layers": "last:1"}),
    "p-tuning": ("p-tuning", {}),
    "p-tuning-v2": ("p-tuning-v2", {"share": True}),
}
every_setting = pytest.mark.parametrize("setting", SETTINGS)


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone.load(str(tiny_of(request.param, tmp_path_factory.mktemp(request.param))))


class Case:
    """A learner of both tasks, or of the one that generates."""

    def __init__(self, backbone: Backbone, name: str, settings: Mapping[str, object], tasks: list[Task]) -> None:
        self.backbone, self.tasks = backbone, tasks
        things = ("film", "book", "old hotel")
        rows = {
            "mood": [Row(f"the {thing} was {how}", label=how) for thing in things for how in ("bad", "good")],
            "said": [Row(f"who sold the {thing}", target=f"the mayor of the {thing}") for thing in things],
        }
        self.examples = [[one for row in rows[task.name] for one in encode(backbone, task, row)] for task in tasks]
        self.learner = Learner.new(backbone, method(name, {"length": 5, **settings}), tasks, seed=1)

    def train(self, epochs: int) -> list[float]:
        progress = Progress(self.learner.optimizer())
        return [step.loss for step in train(self.learner, self.examples, Plan(epochs, 5, 7), progress)]

    def served(self) -> list[Artifact]:
        cards = [Card(task.name, task, "m", {}, self.backbone.fingerprint) for task in self.tasks]
        whole = [Artifact(card, *self.learner.fold(k)) for k, card in enumerate(cards)]
        return [Artifact.from_bytes(artifact.to_bytes()) for artifact in whole]

    def check_batches(self) -> None:
        """What is served answers in one batch as alone."""
        served = self.served()
        items = [(served[k], one) for k, examples in enumerate(self.examples) for one in examples][::-1]
        for item, output in zip(items, predict(self.backbone, items), strict=True):
            alone = torch.from_numpy(predict(self.backbone, [item])[0])
            torch.testing.assert_close(torch.from_numpy(output), alone, atol=1e-5, rtol=0)

    def check_fold(self) -> None:
        """What is served gives the logits of what was trained, of a target's words too."""
        heads = [self.learner.head(k) for k in range(len(self.tasks))]
        banks = [Bank.of(self.learner.prompts.forms()), Bank.of([artifact.form for artifact in self.served()])]
        for k, examples in enumerate(self.examples):
            batch, owner = collate(self.backbone, examples), torch.full((len(examples),), k)
            with torch.no_grad():
                (before,), (after,) = (read(self.backbone, batch, bank, owner, heads) for bank in banks)
            torch.testing.assert_close(after.logits, before.logits, atol=1e-6, rtol=0)


@every_setting
def test_a_method_learns_folds_and_mixes(backbone: Backbone, setting: str) -> None:
    case = Case(backbone, *SETTINGS[setting], [MOOD, SAID])
    before = hash_weights(backbone.model)
    losses = case.train(epochs=8)
    assert sum(losses[-3:]) < 0.97 * sum(losses[:3])
    assert hash_weights(backbone.model) == before
    for name, parameter in case.learner.prompts.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    case.check_fold()
    case.check_batches()


def test_an_infix_learns_folds_and_mixes(tmp_path_factory: pytest.TempPathFactory) -> None:
    gpt2 = Backbone.load(str(tiny_of("gpt2", tmp_path_factory.mktemp("gpt2"))))
    case = Case(gpt2, "prefix-tuning", {"variant": "infix"}, [SAID])
    losses = case.train(epochs=10)
    assert sum(losses[-3:]) < 0.97 * sum(losses[:3])
    case.check_fold()
    case.check_batches()
