"""New tasks from a shared prompt: what they start at, what they may change, and what they leave alone."""

import pytest
import torch

from methods import (
    Backbone,
    InvalidSetting,
    Learner,
    Plan,
    Prefix,
    Progress,
    Row,
    SoftPrompt,
    Start,
    Task,
    encode,
    method,
    train,
)
from methods.beginnings.geometry import SoftGeometry
from methods.forms import Form
from methods.multitask_prompt_tuning import _SharedPrompt
from methods.prompt_tuning import PromptTuning

TASKS = [Task(name, "classification", ("x", "y")) for name in ("a", "b")]
ROWS = [Row("the film was good", label="x"), Row("a very bad hotel", label="y")]


def matrix(form: Form) -> torch.Tensor:
    assert isinstance(form, Prefix)
    return form.key_values


def trained(tiny: Backbone, settings: dict[str, object], tasks: list[Task], start: Start | None = None) -> Learner:
    learner = Learner.new(tiny, method("mpt", {"length": 5, "distillation": 0.0, **settings}), tasks, 1, start)
    data = [[one for row in ROWS for one in encode(tiny, task, row)] for task in tasks]
    list(train(learner, data, Plan(6, 2, 0), Progress(learner.optimizer())))
    return learner


def source(tiny: Backbone, rank: int = 1) -> tuple[Learner, Start]:
    learner = trained(tiny, {"rank": rank}, TASKS)
    return learner, Start(learner.prompts.shared(), learner.prompts.shared_factors())


def test_parameters_are_those_of_the_paper() -> None:
    """Section 3.1 with l = 100, d = 768: 100 * 768 + 100 + 768 = 77,668 for one target, 868 for every further one."""

    def counted(tasks: int) -> int:
        factors = [(torch.ones(100, 1), torch.ones(1, 768)) for _ in range(tasks)]
        module = _SharedPrompt(SoftGeometry(768, "after-first"), torch.zeros(100, 768), factors)
        assert module.parameters_per_task() == 868
        return sum(parameter.numel() for parameter in module.parameters())

    assert (counted(1), counted(2), counted(8)) == (77_668, 77_668 + 868, 76_800 + 8 * 868)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_target_starts_at_the_shared_prompt_and_the_mean_factors(tiny: Backbone, rank: int) -> None:
    """Mean u times mean v (section 3.3), which is not the mean of the products."""
    learner, start = source(tiny, rank)
    u, v = (torch.stack([learner.prompts.factors(k)[name] for k in (0, 1)]).mean(0) for name in ("u", "v"))
    assert torch.equal(start.factors["u"], u)
    target = Learner.new(
        tiny, method("mpt", {"length": 5, "rank": rank}), [Task("new", "classification", ("p", "q"))], 7, start
    )
    product = (u @ v).view(5, 3, 2, 4, 10).permute(1, 2, 3, 0, 4)
    torch.testing.assert_close(matrix(target.prompts.fold(0)), matrix(start.form) * product)
    assert not torch.allclose(matrix(target.prompts.fold(0)), matrix(start.form), atol=1e-4)


def test_all_of_a_target_learns_or_its_factors_alone(tiny: Backbone) -> None:
    _, start = source(tiny)
    new = [Task("new", "classification", ("x", "y"))]
    free, frozen = trained(tiny, {}, new, start), trained(tiny, {"freeze_shared": True}, new, start)
    assert not torch.equal(matrix(free.prompts.shared()), matrix(start.form))
    assert torch.equal(matrix(frozen.prompts.shared()), matrix(start.form))
    assert not torch.equal(frozen.prompts.factors(0)["u"], start.factors["u"])
    learning = sum(p.numel() for group in frozen.optimizer().param_groups for p in group["params"])
    assert learning == 5 + 3 * 2 * 40 + 2 * 40 + 2


def test_several_targets_share_one_prompt_and_take_no_teachers(tiny: Backbone) -> None:
    _, start = source(tiny)
    several = Learner.new(tiny, method("mpt", {"length": 5, "distillation": 0.9}), TASKS, 3, start)
    assert several.prompts.distillation is None
    first, second = several.prompts.forms()
    assert torch.equal(matrix(first), matrix(second))


def test_shared_prompt_and_factors_learn_at_rates_of_their_own(tiny: Backbone) -> None:
    settings: dict[str, object] = {
        "length": 5,
        "learning_rate": 0.3,
        "factor_learning_rate": 0.4,
        "head_learning_rate": 0.01,
    }
    groups = Learner.new(tiny, method("mpt", settings), TASKS, 0).optimizer().param_groups
    assert [(group["lr"], sum(p.numel() for p in group["params"])) for group in groups] == [
        (0.01, 2 * 82),
        (0.3, 5 * 240),
        (0.4, 2 * 245),
    ]


def test_a_source_has_teachers_of_its_own_size_and_a_single_task_none(tiny: Backbone) -> None:
    prefix = method("mpt", {"length": 5, "layers": "last:1", "distillation": 0.9}).build(tiny, TASKS, torch.Generator())
    assert prefix.distillation is not None
    taught = prefix.distillation.teacher.build(tiny, TASKS, torch.Generator())
    assert [matrix(form).shape for form in taught.forms()] == [matrix(form).shape for form in prefix.forms()]
    soft = method("mpt", {"length": 5, "form": "soft-prompt", "distillation": 0.9}).build(
        tiny, TASKS, torch.Generator()
    )
    assert soft.distillation is not None
    assert isinstance(soft.distillation.teacher, PromptTuning)
    assert all(isinstance(form, SoftPrompt) for form in soft.forms())
    assert (
        method("mpt", {"length": 5, "distillation": 0.9}).build(tiny, TASKS[:1], torch.Generator()).distillation is None
    )


def test_what_does_not_fit_a_shared_prompt_is_refused(tiny: Backbone) -> None:
    _, start = source(tiny, rank=2)
    with pytest.raises(InvalidSetting, match="factors of rank 2; these settings need rank 1") as caught:
        Learner.new(tiny, method("mpt", {"length": 5}), TASKS, 0, start)
    assert caught.value.hint == "--set rank=2"
    with pytest.raises(InvalidSetting, match="freeze_shared keeps the shared prompt that is given"):
        Learner.new(tiny, method("mpt", {"length": 5, "freeze_shared": True}), TASKS, 0)
    with pytest.raises(InvalidSetting, match="temperature"):
        method("mpt", {"temperature": 0.5})
