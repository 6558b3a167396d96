"""CODA-Prompt: blocks that begin orthogonal to all before them and never move again, and heads that only grow."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from methods import Artifact, Backbone, InvalidRow, InvalidSetting, Progress, Start, Task, predict, train
from methods.continual import CodaPrompt, Learned, Session, continual_method
from methods.continual.blocks import new_rows, orthogonality
from methods.continual.coda import CodaModule
from methods.continual.fitting import appended, learner_of
from methods.continual.version import block_digests, learned_of
from methods.forms import PromptPool
from methods.heads import RidgeHead, SessionsHead
from methods.runtime.fingerprint import hash_weights
from methods.training import Plan

from .sessions import FIRST, PLAN, SECOND, SMALL, examples, session, unwatched, version


def coda(**settings: object) -> CodaPrompt:
    method = continual_method("coda", SMALL["coda"] | {"head": "sessions"} | settings)
    assert isinstance(method, CodaPrompt)
    return method


def pool_of(learned: Learned) -> PromptPool:
    assert isinstance(learned.form, PromptPool)
    return learned.form


def head_of(learned: Learned) -> SessionsHead:
    assert isinstance(learned.head, SessionsHead)
    return learned.head


def after(
    backbone: Backbone, before: Learned | None, *labels: str, rows: int = 4, method: CodaPrompt | None = None
) -> Learned:
    """One more session learned."""
    return (method or coda()).learn(backbone, before, session(backbone, labels, rows), PLAN, unwatched)


@pytest.fixture(scope="module")
def first(tiny: Backbone) -> Learned:
    return after(tiny, None, *FIRST)


def answers(backbone: Backbone, artifact: Artifact) -> list[Any]:
    return [predict(backbone, [(artifact, one)])[0] for one in examples(backbone, (*FIRST, *SECOND), 2)]


@pytest.mark.parametrize("spread", [0.0, 0.05, 3.0])
def test_new_rows_are_orthogonal_to_old_ones_however_far_these_moved(spread: float) -> None:
    generator = torch.Generator().manual_seed(1)
    begun = new_rows(torch.zeros(0, 24), 9, generator)
    old = begun + spread * torch.randn(9, 24, generator=generator)
    new = new_rows(old, 15, generator)
    assert (functional.normalize(old) @ new.T).abs().max() <= 1e-6
    for rows in (begun, new):
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-6, rtol=0)


def test_old_rows_that_are_nothing_or_twice_the_same_take_no_direction_more() -> None:
    """Where the reference would look for a direction for ever."""
    old = torch.cat([torch.zeros(1, 6), torch.ones(2, 6)])
    new = new_rows(old, 3, torch.Generator().manual_seed(1))
    assert (old @ new.T).abs().max() <= 1e-6
    torch.testing.assert_close(new @ new.T, torch.eye(3), atol=1e-6, rtol=0)


def test_more_rows_than_directions_are_refused(tiny: Backbone, first: Learned) -> None:
    """4 components of 40 directions are there."""
    with pytest.raises(InvalidSetting, match="a pool of 4 components takes no 37 more: 40 directions"):
        after(tiny, first, *SECOND, method=coda(components=37))
    assert new_rows(pool_of(first).keys[0], 36, torch.Generator()).shape == (36, 40)


def test_orthogonality_by_hand() -> None:
    """(1, 0) and (1, 1): B B^T - I = [[0, 1], [1, 1]], 3 / 4. Twice the axes: 3 on the diagonal, 18 / 4. Their sum."""
    rows = torch.tensor([[[1.0, 0], [1, 1]], [[2, 0], [0, 2]]])
    assert orthogonality(rows).item() == pytest.approx(0.75 + 4.5)


@pytest.mark.parametrize(("settings", "expected"), [({}, 0.0), ({"penalty": 0.5}, 0.5 * 2 * 9 / 4)])
def test_the_penalty_is_off_unless_asked_for(tiny: Backbone, settings: dict[str, object], expected: float) -> None:
    """Keys made twice as long: of each of 2 layers' 4 x 4 numbers, 4 are (4 - 1)^2; the others are orthonormal."""
    module = coda(**settings).build(tiny, [Task("t", "classification", FIRST)], torch.Generator().manual_seed(1))
    assert isinstance(module, CodaModule)
    module.keys.data *= 2
    assert module.added_loss(torch.ones(3, 40)).tolist() == pytest.approx([expected] * 3, abs=1e-5)


def test_the_penalty_counts_old_components_too(tiny: Backbone, first: Learned) -> None:
    """New components that repeat the old keys: of 8 x 8 numbers, the two off-diagonal blocks have 4 ones."""
    orthonormal = torch.eye(4, 40).expand(2, -1, -1)
    pool = replace(pool_of(first), keys=orthonormal, attentions=orthonormal)
    generator = torch.Generator().manual_seed(1)
    module = coda(penalty=1.0).build(tiny, [Task("t", "classification", FIRST)], generator, Start(pool))
    assert isinstance(module, CodaModule)
    module.keys.data = orthonormal.clone()
    before = orthogonality(torch.cat([module.old_components, module.components], dim=1))
    assert module.added_loss(torch.ones(1, 40)).item() - before.item() == pytest.approx(2 * 8 / 64, abs=1e-5)


def test_a_session_adds_a_block_and_head_rows_and_moves_nothing_else(tiny: Backbone, first: Learned) -> None:
    before = version(tiny, first).to_bytes()
    second = after(tiny, first, *SECOND, method=coda(components=3))
    old, new = pool_of(first), pool_of(second)
    assert (old.blocks, new.blocks) == ((4,), (4, 3))
    assert torch.equal(new.keys[:, :4], old.keys)
    assert torch.equal(new.attentions[:, :4], old.attentions)
    assert torch.equal(new.components[:, :, :4], old.components)
    assert second.labels == (*FIRST, *SECOND)
    assert head_of(second).of == (0, 1, 2, 3, 4)
    assert torch.equal(head_of(second).weight[:2], head_of(first).weight)
    assert torch.equal(head_of(second).bias[:2], head_of(first).bias)
    assert hash_weights(tiny.model) == tiny.fingerprint.weights
    assert version(tiny, first).to_bytes() == before
    third = after(tiny, second, "loud", "happy")
    assert block_digests(third)[:2] == block_digests(second)
    assert block_digests(second)[:1] == block_digests(first)
    assert len(set(block_digests(third))) == 3


def test_a_block_is_hashed_with_its_head_rows_and_the_shape_of_each_tensor(tiny: Backbone, first: Learned) -> None:
    second = after(tiny, first, *SECOND)
    rows = [2, 3]
    known = block_digests(second, rows)
    assert block_digests(first, rows[:1]) == known[:1]
    assert not {*block_digests(second)} & {*known}
    head = head_of(second)
    moved = replace(second, head=replace(head, bias=head.bias + torch.tensor([0.0, 0, 0, 0, 1])))
    assert [a == b for a, b in zip(block_digests(moved, rows), known, strict=True)] == [True, False]
    pool = pool_of(first)
    turned = replace(pool, components=pool.components.reshape(2, 2, 4, 2, 4, -1))
    assert turned.components.numpy().tobytes() == pool.components.numpy().tobytes()
    assert block_digests(replace(first, form=turned)) != block_digests(first)


OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], Optimizer]] = {
    "decay": lambda several: AdamW(several, lr=0.1, weight_decay=0.5),
    "momentum": lambda several: SGD(several, lr=0.1, momentum=0.9, weight_decay=0.5),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_sees_what_was_learned_before(tiny: Backbone, first: Learned, optimizer: str) -> None:
    """Of 3 rows of the head and one block of 4 alone; 2 layers, components of 2 * 4 * 2 * 10 numbers."""
    learner = learner_of(tiny, coda(), SECOND, Start(first.form), 7)
    numbers = {name: tuple(one.shape) for name, one in learner.named_parameters()}
    assert numbers == {
        "prompts.keys": (2, 4, 40),
        "prompts.attentions": (2, 4, 40),
        "prompts.components": (2, 4, 160),
        "heads.0.weight": (3, 40),
        "heads.0.bias": (3,),
    }
    begun = [one.detach().clone() for one in learner.parameters()]
    one = session(tiny, SECOND)
    list(train(learner, [one.examples], PLAN, Progress(OPTIMIZERS[optimizer](learner.parameters()))))
    assert all((now - was).abs().max() > 1e-3 for now, was in zip(learner.parameters(), begun, strict=True))
    new = learner.prompts.fold(0)
    assert isinstance(new, PromptPool)
    assert torch.equal(new.keys[:, :4], pool_of(first).keys)
    assert torch.equal(new.components[:, :, :4], pool_of(first).components)
    labels, head = appended(first, one, learner)
    assert (labels, head.of) == ((*FIRST, *SECOND), (0, 1, 2, 3, 4))
    assert torch.equal(head.weight[:2], head_of(first).weight)


@pytest.mark.parametrize("head", ["sessions", "incremental-ridge"])
def test_a_version_answers_the_same_for_ever(tiny: Backbone, head: str) -> None:
    """From its file, after later sessions, to the last bit."""
    method = coda(head=head)
    one = after(tiny, None, *FIRST, method=method)
    pinned = version(tiny, one)
    before, stored = answers(tiny, pinned), pinned.to_bytes()
    again = learned_of(Artifact.from_bytes(stored))
    two, from_file = after(tiny, one, *SECOND, method=method), after(tiny, again, *SECOND, method=method)
    assert version(tiny, two).to_bytes() == version(tiny, from_file).to_bytes()
    reloaded = Artifact.from_bytes(stored)
    for was, now in zip(before, answers(tiny, reloaded), strict=True):
        assert was.shape == (2,)
        assert np.array_equal(was, now)
    for was, now in zip(answers(tiny, version(tiny, two)), answers(tiny, version(tiny, from_file)), strict=True):
        assert was.shape == (5,)
        assert np.array_equal(was, now)


def test_a_label_that_comes_again_gets_a_second_row(tiny: Backbone, first: Learned) -> None:
    second = after(tiny, first, "red", "good")
    assert (second.labels, head_of(second).of) == (("good", "bad", "red"), (0, 1, 2, 0))
    assert torch.equal(head_of(second).weight[:2], head_of(first).weight)
    assert answers(tiny, version(tiny, second))[0].shape == (3,)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_session_may_have_one_label_and_one_row(tiny: Backbone, first: Learned, rows: int) -> None:
    second = after(tiny, first, "red", rows=rows)
    assert (second.labels, head_of(second).of) == ((*FIRST, "red"), (0, 1, 2))
    assert len(head_of(second).weight) == len(head_of(second).bias) == 3
    assert answers(tiny, version(tiny, second))[0].shape == (3,)


def test_the_first_session_may_have_one_label(tiny: Backbone) -> None:
    alone = after(tiny, None, "good", rows=1)
    assert (alone.labels, head_of(alone).weight.shape) == (("good",), (1, 40))
    assert after(tiny, alone, "bad").labels == FIRST


def test_a_session_smaller_than_a_batch_learns(tiny: Backbone) -> None:
    few, steps = session(tiny, FIRST, 2), []
    learned = coda().learn(tiny, None, few, Plan(3, 128, 1), steps.append)
    assert [step.rows for step in steps] == [4, 4, 4]
    assert steps[-1].loss < steps[0].loss
    begun = learner_of(tiny, coda(), FIRST, None, 1).prompts.fold(0)
    assert isinstance(begun, PromptPool)
    assert not torch.allclose(pool_of(learned).components, begun.components, atol=1e-4)


def test_a_session_of_no_epoch_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InvalidSetting, match="a session of no epoch"):
        coda().learn(tiny, None, session(tiny, FIRST), Plan(0, 5, 1), unwatched)


def test_a_session_without_rows_or_with_a_foreign_label_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InvalidRow, match="without a row"):
        Session(FIRST, [])
    rows = examples(tiny, SECOND)
    for labels, given in ((SECOND[:2], rows), (SECOND, [replace(rows[0], label=-1)])):
        with pytest.raises(InvalidRow, match="label is not one of the session's"):
            Session(labels, given)


@pytest.mark.parametrize("settings", [{"layers": "last:1"}, {"layers": "0,1"}, {"length": 3}])
def test_a_pool_goes_on_with_its_own_settings_only(tiny: Backbone, first: Learned, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="other layers, another length"):
        after(tiny, first, *SECOND, method=coda(**settings))


def test_a_head_goes_on_as_it_began(tiny: Backbone, first: Learned) -> None:
    with pytest.raises(InvalidSetting, match="has the head 'sessions'") as caught:
        after(tiny, first, *SECOND, method=coda(head="incremental-ridge"))
    assert caught.value.hint == "--set head=sessions"
    ridge = after(tiny, None, *FIRST, method=coda(head="incremental-ridge"))
    with pytest.raises(InvalidSetting, match="has the head 'incremental-ridge'"):
        after(tiny, ridge, *SECOND)


def test_with_a_ridge_head_later_sessions_leave_the_pool_alone(tiny: Backbone) -> None:
    """Its features must not move. The counts of rows grow, 4 of each label, as do the labels."""
    method = coda(head="incremental-ridge")
    one = after(tiny, None, *FIRST, method=method)
    two = after(tiny, one, "red", "good", method=method)
    assert pool_of(two) is pool_of(one)
    assert isinstance(two.head, RidgeHead)
    assert (two.labels, two.head.weight.shape, two.head.lower) == (("good", "bad", "red"), (3, 24), (2,))
    assert two.factors["counts"].tolist() == [8, 4, 4]
    assert one.factors["counts"].tolist() == [4, 4]


def test_several_tasks_at_once_are_refused(tiny: Backbone) -> None:
    tasks = [Task(name, "classification", FIRST) for name in ("a", "b")]
    with pytest.raises(InvalidSetting, match="one task after another"):
        coda().build(tiny, tasks, torch.Generator())


def test_every_number_of_a_new_block_reaches_the_loss(tiny: Backbone, first: Learned) -> None:
    learner = learner_of(tiny, coda(), SECOND, Start(first.form), 7)
    rows = [(0, one) for one in session(tiny, SECOND).examples]
    torch.cat([losses.total for losses in learner.losses(rows)]).sum().backward()
    for parameter in learner.prompts.parameters():
        assert parameter.grad is not None
        assert parameter.grad.all()
