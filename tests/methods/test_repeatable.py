"""Equal bytes at the real size too, where a step's work is spread over threads."""

from collections.abc import Iterator

import pytest
import torch

from methods import Backbone, Learner, Plan, Prefix, Progress, Row, Task, encode, method, train


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_training_on_several_threads_gives_equal_bytes() -> None:
    backbone = Backbone.load()
    task = Task("t", "classification", ("a", "b"))
    rows = [Row(f"row number {n} is a row of {n % 7} words", label="ab"[n % 2]) for n in range(64)]
    examples = [one for row in rows for one in encode(backbone, task, row)]

    def trained() -> torch.Tensor:
        learner = Learner.new(backbone, method("mpt", {}), [task], 0)
        for _ in train(learner, [examples], Plan(1, 16, 0), Progress(learner.optimizer())):
            pass
        form, _ = learner.fold(0)
        assert isinstance(form, Prefix)
        return form.key_values

    first = trained()
    assert all(torch.equal(first, trained()) for _ in range(3))
