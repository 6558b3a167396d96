"""Properties that every continual method obeys; a new one is tested by being listed."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional

from methods import Backbone, InvalidSetting, Prefix, PromptModule, Stack, Start, Task, predict
from methods.continual import CONTINUAL, ContinualMethod, Judge, Judged, Learned, Session, continual_method, follow
from methods.continual.dual_prompt import DualModule, DualPrompt
from methods.continual.fitting import learner_of
from methods.continual.l2p import L2P
from methods.forms import PromptPool, SoftPrompt, parts
from methods.heads import SessionsHead
from methods.prompt import Method
from methods.rows.collation import collate
from methods.runtime.activations import Activations
from methods.runtime.fingerprint import hash_weights
from methods.runtime.pool import prefixes
from methods.runtime.reading import queries
from methods.stored import tensors
from methods.training import Step

from .sessions import FIRST, PLAN, SECOND, SMALL, examples, session, unwatched, version

EVERY = [*sorted(CONTINUAL), "coda sessions"]
every_method = pytest.mark.parametrize("name", EVERY)
one_by_one = pytest.mark.parametrize("name", [name for name in EVERY if name != "joint"])
SEEDLESS = ("ncm", "ridge")  # nothing in them is drawn


def small(name: str, **settings: object) -> ContinualMethod:
    given = {"head": "sessions"} if name == "coda sessions" else {}
    return continual_method(name.split()[0], SMALL[name.split()[0]] | given | settings)


def learned(backbone: Backbone, method: ContinualMethod, rows: int = 4, seed: int = PLAN.seed) -> list[Learned]:
    """What is known after each of two sessions."""
    plan = replace(PLAN, seed=seed)
    first = method.learn(backbone, None, session(backbone, FIRST, rows), plan, unwatched)
    return [first, method.learn(backbone, first, session(backbone, SECOND, rows), plan, unwatched)]


def followed(backbone: Backbone, method: ContinualMethod) -> list[Judged]:
    sessions = [session(backbone, labels) for labels in (FIRST, SECOND)]
    return list(follow(backbone, method, sessions, [examples(backbone, labels, 3) for labels in (FIRST, SECOND)], PLAN))


def asking(backbone: Backbone, name: str) -> tuple[Method, PromptModule]:
    method: Method = small(name)  # pyright: ignore[reportAssignmentType] - those that ask are methods of prompts too
    return method, method.build(backbone, [Task("t", "classification", FIRST)], torch.Generator().manual_seed(1))


def test_every_method_has_settings_here() -> None:
    assert set(SMALL) == set(CONTINUAL)


@every_method
def test_a_method_is_a_frozen_record(name: str) -> None:
    one = small(name)
    assert hash(one) == hash(small(name))
    with pytest.raises(FrozenInstanceError):
        one.joint = True  # pyright: ignore[reportAttributeAccessIssue]


@every_method
def test_an_unknown_setting_is_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match="'lenght'"):
        small(name, lenght=3)
    with pytest.raises(InvalidSetting, match="known methods: coda, dualprompt"):
        continual_method("cod", {})


@every_method
def test_a_stream_is_learned_and_judged(tiny: Backbone, name: str) -> None:
    """After session i, the accuracy on each of the sessions so far: a row of the matrix."""
    method = small(name)
    found = followed(tiny, method)
    shape = [2] if method.joint else [1, 2]
    assert [len(one.accuracies) for one in found] == shape
    assert all(0 <= accuracy <= 1 for one in found for accuracy in one.accuracies)
    assert all(one.seconds > 0 for one in found)
    assert found[-1].learned.labels == (SECOND if method.told else (*FIRST, *SECOND))
    assert hash_weights(tiny.model) == tiny.fingerprint.weights


@one_by_one
def test_each_session_is_learned_by_a_seed_of_its_own(tiny: Backbone, name: str) -> None:
    method, known = small(name), None
    for number, one in enumerate(followed(tiny, method)):
        plan = replace(PLAN, seed=PLAN.seed + number)
        known = method.learn(tiny, known, session(tiny, (FIRST, SECOND)[number]), plan, unwatched)
        assert version(tiny, one.learned).to_bytes() == version(tiny, known).to_bytes()


@every_method
def test_accuracies_are_those_of_the_published_version(tiny: Backbone, name: str) -> None:
    """By `predict`, row by row; a method that is told the session answers by that session's version alone."""
    last = followed(tiny, small(name))[-1]
    for labels, accuracy, place in zip((FIRST, SECOND), last.accuracies, range(2), strict=True):
        asked = last.learned.alone[place] if last.learned.alone else last.learned
        rows = examples(tiny, labels, 3)
        said = [asked.labels[int(predict(tiny, [(version(tiny, asked), one)])[0].argmax())] for one in rows]
        assert accuracy == sum(label == labels[one.label] for label, one in zip(said, rows, strict=True)) / len(rows)


@one_by_one
def test_what_was_known_before_stays_as_it_was(tiny: Backbone, name: str) -> None:
    method = small(name)
    first = method.learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
    before = version(tiny, first).to_bytes()
    second = method.learn(tiny, first, session(tiny, SECOND), PLAN, unwatched)
    assert version(tiny, first).to_bytes() == before != version(tiny, second).to_bytes()
    assert len(second.alone) == (2 if method.told else 0)


@every_method
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny: Backbone, name: str) -> None:
    def stored(seed: int, elsewhere: int) -> list[bytes]:
        torch.manual_seed(elsewhere)
        return [version(tiny, one).to_bytes() for one in learned(tiny, small(name), 3, seed)]

    assert stored(1, 5) == stored(1, 6)
    assert (stored(1, 5) == stored(2, 5)) == (name in SEEDLESS)


@every_method
def test_a_version_has_the_same_shapes_whatever_the_number_of_rows(tiny: Backbone, name: str) -> None:
    """Of 2 * 7 and 3 * 7 rows, 35 in all: none of these numbers is a leading dimension."""

    def shapes(rows: int) -> dict[str, tuple[int, ...]]:
        stored = version(tiny, learned(tiny, small(name), rows)[-1]).to_bytes()
        return {key: tuple(one.shape) for key, one in load(stored).items()}

    found = shapes(7)
    assert found == shapes(3)
    assert not {shape[0] for shape in found.values()} & {14, 21, 35}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("joint", "ncm")])
def test_rows_that_say_their_label_are_learned(tiny: Backbone, name: str) -> None:
    """Not by class means, which a random backbone's few directions hold together."""
    method = small(name)
    plan = replace(PLAN, epochs=12)
    one = session(tiny, FIRST, 5)
    known = method.learn(tiny, None, one, plan, unwatched)
    assert Judge(tiny, [one.examples], known).accuracy(known, 0, range(2)) > 0.7


@pytest.mark.parametrize("name", sorted({*CONTINUAL} - {"joint"}))
def test_what_was_learned_goes_to_a_device_whole(tiny: Backbone, name: str) -> None:
    """The meta device is one that no tensor is on by itself."""
    last = learned(tiny, small(name))[-1]
    form, head = last.on(torch.device("meta"))
    several = [tensor for part in (*parts(form), head) for tensor in tensors(part).values()]
    assert several
    assert {tensor.device.type for tensor in several} == {"meta"}


def test_ft_trains_all_rows_of_the_head_and_ftpp_the_sessions_own(tiny: Backbone) -> None:
    """FT's loss has the logits of all labels, so their rows move; in FT++ those of other sessions stay."""
    heads = {}
    for name in ("ft", "ftpp"):
        first, second = learned(tiny, small(name))
        assert isinstance(first.head, SessionsHead)
        assert isinstance(second.head, SessionsHead)
        assert (first.head.of, second.head.of) == ((0, 1), (0, 1, 2, 3, 4))
        assert isinstance(first.form, Prefix)
        assert isinstance(second.form, Prefix)
        assert not torch.equal(first.form.key_values, second.form.key_values)
        heads[name] = first.head, second.head
    old, new = heads["ftpp"]
    assert torch.equal(new.weight[:2], old.weight)
    assert torch.equal(new.bias[:2], old.bias)
    old, new = heads["ft"]
    assert all((new.weight[row] - old.weight[row]).abs().max() > 1e-3 for row in range(2))
    assert all(new.bias[row] < old.bias[row] for row in range(2))  # no row of the session has these labels


def test_the_loss_of_ft_begins_over_all_labels(tiny: Backbone) -> None:
    """One batch, no rate: the mean cross-entropy of the version that it went on from, among old and new rows."""
    steps: dict[str, list[Step]] = {"ft": [], "ftpp": []}
    for name, seen in steps.items():
        method = small(name, learning_rate=0, head_learning_rate=0)
        first = small(name).learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
        one = session(tiny, SECOND)
        second = method.learn(tiny, first, one, replace(PLAN, epochs=1, batch_size=99), seen.append)
        assert isinstance(first.head, SessionsHead)
        assert isinstance(second.head, SessionsHead)
        assert torch.equal(second.head.weight[:2], first.head.weight)
        assert torch.equal(second.head.bias[:2], first.head.bias)
        outputs = [predict(tiny, [(version(tiny, second), example)])[0] for example in one.examples]
        logits = torch.from_numpy(np.stack(outputs))[:, slice(0 if name == "ft" else 2, 5)]
        truth = torch.tensor([example.label + (2 if name == "ft" else 0) for example in one.examples])
        assert seen[0].loss == pytest.approx(functional.cross_entropy(logits, truth).item(), abs=1e-5)


def test_joint_sees_all_sessions_at_once_and_a_label_of_several_once(tiny: Backbone) -> None:
    sessions = [session(tiny, FIRST), session(tiny, ("red", "good"))]
    (found,) = follow(tiny, small("joint"), sessions, [one.examples for one in sessions], PLAN)
    assert found.learned.labels == (*FIRST, "red")


def test_a_label_that_is_not_known_is_never_right(tiny: Backbone) -> None:
    known = small("ridge").learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
    rows = examples(tiny, FIRST)
    judge = Judge(tiny, [rows], known)
    assert judge.accuracy(known, 0, [0, 1]) + judge.accuracy(known, 0, [1, 0]) == 1
    assert judge.accuracy(known, 0, [-1, -1]) == 0


@pytest.mark.parametrize("layers", ["last:1", "0"])
def test_a_head_may_read_below_what_prompts_change(tiny: Backbone, layers: str) -> None:
    method = small("coda", layers=layers, read_layers="all")
    one = session(tiny, FIRST)
    known = method.learn(tiny, None, one, PLAN, unwatched)
    outputs = [predict(tiny, [(version(tiny, known), example)])[0] for example in one.examples]
    right = sum(int(out.argmax()) == example.label for out, example in zip(outputs, one.examples, strict=True))
    assert Judge(tiny, [one.examples], known).accuracy(known, 0, range(2)) == right / len(outputs)


@pytest.mark.parametrize("name", ["coda", "dualprompt", "l2p"])
def test_what_is_kept_of_rows_changes_no_loss(tiny: Backbone, name: str) -> None:
    method, _ = asking(tiny, name)
    one = session(tiny, FIRST)
    learner = learner_of(tiny, method, FIRST, None, 7)
    rows = [(0, example) for example in one.examples]
    plain = torch.cat([losses.total for losses in learner.losses(rows)])
    learner.remember([one.examples])
    kept = torch.cat([losses.total for losses in learner.losses(rows)])
    torch.testing.assert_close(kept, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_kept_queries_are_the_queries(tiny: Backbone, layer: int) -> None:
    rows = examples(tiny, SECOND)
    known = Activations(tiny, layer, [rows], asks=True)
    batch = collate(tiny, rows[3:8])
    kept = known.queries(rows[3:8])
    assert kept is not None
    torch.testing.assert_close(kept, queries(tiny, batch), atol=1e-6, rtol=0)
    assert (known.below(rows[3:8], batch) is None) == (layer == 0)
    assert Activations(tiny, 1, [rows]).queries(rows) is None


def pool(keys: Sequence[Sequence[float]], top: int) -> PromptPool:
    rows = torch.tensor([keys], dtype=torch.float)
    return PromptPool(rows, torch.ones_like(rows), torch.zeros(1, 2, len(keys), 4, 1, 10), (2,), (len(keys),), top=top)


def test_l2p_pulls_the_keys_that_a_row_chose(tiny: Backbone) -> None:
    """Cosines of (3, 4) and the axes 0.6, 0.8, -0.6, of which it takes two: half of 1 - (0.6 + 0.8) / 2 = 0.3."""
    module = L2P(top=2, pull=0.5).build(tiny, [], torch.Generator(), Start(pool([[1, 0], [0, 1], [-1, 0]], 2)))
    added = module.added_loss(torch.tensor([[3.0, 4.0], [-3.0, 4.0]]))
    assert added.tolist() == pytest.approx([0.15, 0.15])
    added[0].backward()
    grad = module.get_parameter("keys").grad
    assert grad is not None
    assert grad[0, 2].abs().max() == 0


def test_dualprompt_finds_the_session_by_its_key(tiny: Backbone) -> None:
    """What a row far from the first key and near the second takes is the second E-prompt, behind the same G-prompt."""
    method = small("dualprompt")
    assert isinstance(method, DualPrompt)
    first = DualModule(method, tiny, torch.Generator().manual_seed(1), None)
    second = DualModule(method, tiny, torch.Generator().manual_seed(2), first.fold(0))
    query = torch.stack([first.key.detach(), second.key.detach()])
    added = second.added_loss(query)
    assert added[1].item() == pytest.approx(0, abs=1e-6)
    form = second.fold(0)
    assert isinstance(form, Stack)
    general, experts = form.parts
    assert isinstance(general, Prefix)
    assert isinstance(experts, PromptPool)
    assert torch.equal(general.key_values, first.general)
    assert (experts.blocks, experts.top) == ((1, 1), 1)
    taken = prefixes(experts, query)
    assert torch.equal(taken[0], first.expert)
    assert torch.equal(taken[1], second.expert)


@pytest.mark.parametrize(
    "settings", [{"length": 4}, {"layers": "0,2"}, {"general_layers": "1"}, {"general_length": 5}], ids=str
)
def test_dualprompt_goes_on_with_its_own_settings_only(tiny: Backbone, settings: dict[str, object]) -> None:
    first = small("dualprompt").learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
    with pytest.raises(InvalidSetting, match="goes on in the layers and with the lengths"):
        small("dualprompt", **settings).learn(tiny, first, session(tiny, SECOND), PLAN, unwatched)


@pytest.mark.parametrize("name", ["dualprompt", "l2p", "progressive-prompts"])
def test_prompts_of_another_kind_are_refused(tiny: Backbone, name: str) -> None:
    own = small("ftpp").learn(tiny, None, session(tiny, FIRST), PLAN, unwatched)
    with pytest.raises(InvalidSetting, match="goes on from"):
        small(name).learn(tiny, own, session(tiny, SECOND), PLAN, unwatched)


def test_progressive_prompts_stand_before_the_older_ones(tiny: Backbone) -> None:
    first, second = learned(tiny, small("progressive-prompts"))
    assert isinstance(first.form, SoftPrompt)
    assert isinstance(second.form, SoftPrompt)
    assert torch.equal(second.form.embeddings[3:], first.form.embeddings)
    assert second.alone[0].head is first.head
    assert (first.labels, second.labels) == (FIRST, SECOND)


def test_class_means_by_hand(tiny: Backbone) -> None:
    """A label's row of the head is the mean of its rows' queries, which are of norm 1, again of norm 1."""

    def mean(sessions: Sequence[Session], label: str) -> Tensor:
        rows = [one for own in sessions for one in own.examples if own.labels[one.label] == label]
        return functional.normalize(queries(tiny, collate(tiny, rows)).mean(0), dim=0)

    sessions = [session(tiny, FIRST), session(tiny, ("red", "good"), 3)]
    known: Learned | None = None
    for one in sessions:
        known = small("ncm").learn(tiny, known, one, PLAN, unwatched)
    assert known is not None
    assert isinstance(known.head, SessionsHead)
    expected = torch.stack([mean(sessions, label) for label in ("good", "bad", "red")])
    torch.testing.assert_close(known.head.weight, expected, atol=1e-5, rtol=0)
