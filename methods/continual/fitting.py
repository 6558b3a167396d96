"""The training that continual methods share: one session's prompts and its own rows of the head.

The head in training has the session's labels alone, so the loss is masked by their set (Smith et al., 2023, section
5.1: the logits of other classes do not enter), and what was learned before cannot move: no optimizer ever sees it.
"""

from dataclasses import replace

import torch

from ..errors import InvalidSetting
from ..forms import Form, on
from ..heads import LinearHead, SessionsHead
from ..learner import Learner
from ..prompt import Method, Start
from ..rows.task import Task
from ..runtime.backbone import Backbone
from ..training import Plan, Progress, train
from .learned import Learned, Session, Watch, joined


def fitted(
    backbone: Backbone, method: Method, start: Start | None, session: Session, plan: Plan, watch: Watch
) -> Learner:
    """A learner that has seen the session; the queries of its rows, and what no prompt changes, are computed once."""
    learner = learner_of(backbone, method, session.labels, start, plan.seed)
    run(learner, session, plan, watch)
    return learner


def learner_of(backbone: Backbone, method: Method, labels: tuple[str, ...], start: Start | None, seed: int) -> Learner:
    """New prompts, or old ones that go on, and a new head. One label is enough, because others are known."""
    task = Task("session", "classification", labels if len(labels) > 1 else (*labels, ""))
    return Learner.new(backbone, method, [task], seed, start)


def run(learner: Learner, session: Session, plan: Plan, watch: Watch) -> None:
    """Train it on the session's rows."""
    if learner.prompts.asks:
        learner.remember([session.examples])
    progress = Progress(learner.optimizer())
    for step in train(learner, [session.examples], plan, progress):
        watch(step)
    if not progress.done:
        raise InvalidSetting("a session of no epoch teaches nothing", hint="--epochs 1 or more")


def form_of(learner: Learner) -> Form:
    """Its prompt, on the CPU as everything that is learned."""
    return on(torch.device("cpu"), learner.prompts.fold(0))


def appended(before: Learned | None, session: Session, learner: Learner) -> tuple[tuple[str, ...], SessionsHead]:
    """All labels, and the head with the session's rows behind those that were there, which stay what they are."""
    labels, of = joined(before, session)
    _, head = learner.fold(0)
    if not isinstance(head, LinearHead):
        raise InvalidSetting("a session learns labels; its head has to be linear")
    weight, bias = head.weight[: len(of)].cpu(), head.bias[: len(of)].cpu()
    if before is None:
        return labels, SessionsHead(weight, bias, of, head.pooling)
    old = sessions_head(before)
    new = replace(old, weight=torch.cat([old.weight, weight]), bias=torch.cat([old.bias, bias]), of=(*old.of, *of))
    return labels, new


def sessions_head(before: Learned) -> SessionsHead:
    """The head of what was learned by sessions.

    Raises:
        InvalidSetting: it has another one.
    """
    if not isinstance(before.head, SessionsHead):
        raise InvalidSetting(
            f"the version has the head {before.head.name!r}, which this setting cannot go on with",
            hint="go on with the method and the head that it was begun with",
        )
    return before.head
