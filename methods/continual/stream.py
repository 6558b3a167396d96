"""A stream of sessions, learned and judged one after the other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..rows.encoding import Example
from ..runtime.backbone import Backbone
from ..training import Plan, Step
from .learned import ContinualMethod, Learned, Session
from .reading import Judge


@dataclass(frozen=True)
class Judged:
    """One session learned, the accuracy on each session so far, and what the learning took."""

    learned: Learned
    accuracies: tuple[float, ...]
    seconds: float


def follow(
    backbone: Backbone,
    method: ContinualMethod,
    sessions: Sequence[Session],
    tests: Sequence[Sequence[Example]],
    plan: Plan,
) -> Iterator[Judged]:
    """Learn sessions in order; tests[n] are rows of session n, labelled by their place among its labels.

    A method that sees everything at once yields a single time, after the last session.
    """
    learned: Learned | None = None
    judge: Judge | None = None
    for number, session in enumerate(_seen(method, sessions)):
        began = time.perf_counter()
        learned = method.learn(backbone, learned, session, replace(plan, seed=plan.seed + number), _nothing)
        seconds = time.perf_counter() - began
        judge = judge or Judge(backbone, tests, learned)
        until = len(sessions) if method.joint else number + 1
        found = tuple(_accuracy(judge, learned, sessions, n) for n in range(until))
        yield Judged(learned, found, seconds)


def _seen(method: ContinualMethod, sessions: Sequence[Session]) -> Sequence[Session]:
    if not method.joint:
        return sessions
    labels = tuple(dict.fromkeys(label for session in sessions for label in session.labels))
    rows = [replace(one, label=labels.index(own.labels[one.label])) for own in sessions for one in own.examples]
    return [Session(labels, rows)]


def _accuracy(judge: Judge, learned: Learned, sessions: Sequence[Session], n: int) -> float:
    """By all labels known; of a method that is told the session, by that session's alone."""
    asked = learned.alone[n] if learned.alone else learned
    return judge.accuracy(asked, n, [asked.labels.index(label) for label in sessions[n].labels])


def _nothing(step: Step) -> None:
    del step
