"""What a teacher adds to a student's loss, by numbers worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from methods import Backbone, Learner, LinearHead, Plan, Progress, Row, Task, encode, method, train
from methods.distillation import hidden_loss, logits_loss
from methods.heads import GenerationHead, SpanHead, TagHead
from methods.rows.collation import collate
from methods.rows.encoding import Example
from methods.teachers import Teachers
from methods.types import Batch

MOOD = Task("mood", "classification", ("bad", "good"))
PLACE = Task("place", "tagging", ("O", "LOC"))
QA = Task("qa", "span-qa")
TASKS = [MOOD, PLACE, QA]
ROWS = [
    [Row("the film was good", label="good"), Row("a very bad and dull old hotel", label="bad")],
    [Row("", tokens=("the", "mayor", "of", "the", "city"), tags=("O", "O", "O", "O", "LOC"))],
    [Row("which colour", "the old bridge of the city was red", answers=("red",), answer_start=31)],
]


@pytest.fixture
def batch(tiny: Backbone) -> Batch:
    """Rows of 2 and 4 tokens."""
    return collate(tiny, [Example([5, 6], [0, 0], label=0), Example([5, 6, 7, 8], [0] * 4, label=1)])


def examples(backbone: Backbone) -> list[list[Example]]:
    return [
        [one for row in rows for one in encode(backbone, task, row)] for task, rows in zip(TASKS, ROWS, strict=True)
    ]


def head() -> LinearHead:
    return LinearHead(torch.zeros(2, 40), torch.zeros(2))


def test_kl_of_a_sure_teacher_and_an_even_student(batch: Batch) -> None:
    """Teacher (3/4, 1/4), student (1/2, 1/2): 3/4 ln 3/2 + 1/4 ln 1/2 = 0.13081; equal logits: 0."""
    teacher = torch.tensor([[math.log(3), 0.0], [1.0, 2.0]])
    student = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    found = logits_loss(head(), student, teacher, batch, temperature=1.0)
    assert found.tolist() == pytest.approx([0.75 * math.log(1.5) + 0.25 * math.log(0.5), 0.0], abs=1e-6)
    assert logits_loss(head(), teacher, student, batch, 1.0)[0].item() == pytest.approx(
        0.5 * math.log(2 / 3) + 0.5 * math.log(2), abs=1e-6
    )


def test_temperature_smooths_both_and_its_square_keeps_the_gradients_size(batch: Batch) -> None:
    """ln 9 over 2 is ln 3: the teacher of the test above, times 4."""
    teacher, student = torch.tensor([[math.log(9), 0.0]] * 2), torch.zeros(2, 2)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert logits_loss(head(), student, teacher, batch, 2.0).tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_a_teacher_gets_no_gradient_and_kl_is_never_negative(batch: Batch) -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        student, teacher = (torch.randn(2, 2, generator=generator).requires_grad_() for _ in range(2))
        loss = logits_loss(head(), student, teacher, batch, 1.5)
        assert bool((loss >= -1e-7).all())
        loss.sum().backward()
        assert teacher.grad is None
        assert student.grad is not None


def test_words_spans_and_tokens_count_where_there_are_any(tiny: Backbone, batch: Batch) -> None:
    """KL 0.13081 on one word of two and 0 on the other: the mean is half; what is padding or no word counts nothing."""
    one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    teacher = torch.full((2, 4, 2), 9.0)
    teacher[1, 0] = torch.tensor([math.log(3), 0.0])
    student = torch.zeros(2, 4, 2)
    student[:, 3, 0] = 70.0
    words = replace(batch, tags=torch.tensor([[-1, 0, -1, -1], [0, 1, -1, -1]]))
    tags = logits_loss(TagHead(torch.zeros(2, 40), torch.zeros(2)), student, teacher, words, 1.0)
    assert tags.tolist() == pytest.approx([0.0, one / 2], abs=1e-6)

    said = replace(
        batch, target_ids=torch.zeros(2, 4, dtype=torch.long), target_mask=torch.tensor([[0] * 4, [1, 1, 0, 0]])
    )
    assert logits_loss(GenerationHead(), student, teacher, said, 1.0).tolist() == pytest.approx([0, one / 2], abs=1e-6)

    lowest = torch.finfo(torch.float32).min
    starts = torch.tensor([[math.log(3), 0.0, lowest, lowest]] * 2)
    spans = torch.stack([starts, torch.tensor([[0.0, 0.0, lowest, lowest]] * 2)], dim=2)
    even = torch.tensor([[0.0, 0.0, lowest, lowest]] * 2)[:, :, None].expand(-1, -1, 2)
    span = logits_loss(SpanHead(torch.zeros(2, 40), torch.zeros(2)), even, spans, batch, 1.0)
    assert span.tolist() == pytest.approx([one / 2] * 2, abs=1e-6)


def test_the_hidden_distance_is_the_mean_over_tokens_and_width(batch: Batch) -> None:
    """Row 1: distances 1 and 3 in both of two dimensions, (1 + 9) / 2 = 5; padding is 100 away and counts nothing."""
    student = torch.zeros(2, 4, 2)
    teacher = torch.tensor([[1.0, 3.0, 100.0, 100.0], [2.0, 2.0, 2.0, 2.0]])[:, :, None].expand(-1, -1, 2)
    assert hidden_loss(student, teacher, batch.attention_mask, batch.group).tolist() == [5.0, 4.0]


def test_the_choices_of_a_row_count_together(tiny: Backbone, batch: Batch) -> None:
    """Two sequences of one row: distance 1 on 2 tokens and 2 on 4 tokens is (2 * 1 + 4 * 4) / 6 = 3."""
    together = replace(batch, group=torch.tensor([0, 0]))
    teacher = torch.tensor([[1.0] * 4, [2.0] * 4])[:, :, None].expand(-1, -1, 2)
    assert hidden_loss(torch.zeros(2, 4, 2), teacher, together.attention_mask, together.group).tolist() == [3.0]


def taught(tiny: Backbone, weight: float, room: int = 1 << 30) -> tuple[Learner, list[list[Example]]]:
    data = examples(tiny)
    settings: dict[str, object] = {"length": 5, "distillation": weight, "temperature": 2.0}
    learner = Learner.new(tiny, method("mpt", settings), TASKS, seed=1)
    if weight:
        teacher = Learner.new(tiny, method("prefix-tuning", {"length": 3}), TASKS, seed=2)
        learner._teachers = Teachers(tiny, [teacher.fold(k) for k in range(3)], data, room)
    return learner, data


def rows_of(data: list[list[Example]]) -> list[tuple[int, Example]]:
    return [(task, one) for task, several in enumerate(data) for one in several]


def totals(learner: Learner, data: list[list[Example]]) -> tuple[Tensor, dict[str, Tensor]]:
    found = list(learner.losses(rows_of(data)))
    names = found[0].parts
    return torch.cat([one.total for one in found]), {
        name: torch.cat([one.parts[name] for one in found]) for name in names
    }


def test_the_total_is_the_task_and_the_weighted_lessons(tiny: Backbone) -> None:
    learner, data = taught(tiny, 0.7)
    total, parts = totals(learner, data)
    assert sorted(parts) == ["hidden", "logits", "task"]
    assert all(bool((parts[name] > 0).all()) for name in parts)
    torch.testing.assert_close(total, parts["task"] + 0.7 * (parts["logits"] + parts["hidden"]))
    plain, _ = totals(taught(tiny, 0.0)[0], data)
    torch.testing.assert_close(plain, parts["task"])


def test_no_weight_is_the_plain_loss_to_the_last_bit(tiny: Backbone) -> None:
    learner, data = taught(tiny, 0.0)
    assert learner.prompts.distillation is None
    losses, parts = totals(learner, data)
    assert list(parts) == ["task"]
    assert torch.equal(losses, parts["task"])


def test_teachers_that_are_kept_say_what_teachers_say_that_read_again(tiny: Backbone) -> None:
    data = examples(tiny)
    kept, (again, _) = taught(tiny, 0.7)[0], taught(tiny, 0.7, room=0)
    kept._teachers = Teachers(
        tiny, [Learner.new(tiny, method("prefix-tuning", {"length": 3}), TASKS, 2).fold(k) for k in range(3)], data
    )
    ours, theirs = totals(kept, data)[1], totals(again, data)[1]
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-5)


def test_a_student_with_its_teachers_prompt_and_head_has_nothing_to_learn_from_it(tiny: Backbone) -> None:
    learner, data = taught(tiny, 0.0)
    learner.prompts.distillation = taught(tiny, 0.5)[0].prompts.distillation
    learner.learn_from([learner.fold(k) for k in range(3)], data)
    _, parts = totals(learner, data)
    assert parts["logits"].abs().max() < 1e-6
    assert parts["hidden"].max() < 1e-9


SAY = Task("say", "generation")
SAID = [
    Row("the film was good", target="a fine film"),
    Row("a very bad and dull old hotel by the river", target="dull"),
]


@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_what_is_said_is_learned_from_the_states_under_it_too(
    backbone_of: Callable[[str], Backbone], name: str
) -> None:
    """A teacher with the student's own prompt has nothing to teach, whatever the padding; another one has."""
    backbone, tasks = backbone_of(name), [SAY, replace(SAY, name="tell")]
    data = [[one for row in SAID for one in encode(backbone, SAY, row)] for _ in tasks]
    learner = Learner.new(backbone, method("mpt", {"length": 5, "distillation": 0.7}), tasks, seed=1)
    learner.learn_from([learner.fold(k) for k in range(2)], data)
    _, parts = totals(learner, data)
    assert parts["hidden"].max() < 1e-9
    other = Learner.new(backbone, method("prefix-tuning", {"length": 3}), tasks, seed=2)
    learner.learn_from([other.fold(k) for k in range(2)], data)
    total, parts = totals(learner, data)
    assert parts["hidden"].min() > 0
    torch.testing.assert_close(total, parts["task"] + 0.7 * (parts["logits"] + parts["hidden"]))


def test_steps_say_the_parts_and_a_teachers_tensors_stay_as_they_are(tiny: Backbone) -> None:
    learner, data = taught(tiny, 0.7)
    teacher = Learner.new(tiny, method("prefix-tuning", {"length": 3}), TASKS, 2)
    folded = [teacher.fold(k) for k in range(3)]
    before = [tensor.clone() for form, _ in folded for tensor in vars(form).values() if isinstance(tensor, Tensor)]
    learner.learn_from(folded, data)
    steps = list(train(learner, data, Plan(4, 4, 0), Progress(learner.optimizer())))
    assert all(sorted(step.parts) == ["hidden", "logits", "task"] for step in steps)
    for step in steps:
        assert step.loss == pytest.approx(
            step.parts["task"] + 0.7 * (step.parts["logits"] + step.parts["hidden"]), rel=1e-4
        )
    assert steps[-1].parts["hidden"] < steps[0].parts["hidden"]
    after = [tensor for form, _ in folded for tensor in vars(form).values() if isinstance(tensor, Tensor)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
