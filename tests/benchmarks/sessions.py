"""A session of a pool: what keeping queries saves, and whether a session costs more the more came before it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import torch

from methods import Backbone, Example, Plan, Progress, Step, train
from methods.continual import CodaPrompt, Learned, Session
from methods.continual.fitting import learner_of

from ._pictures import Line, draw
from ._sentences import sentences
from ._turns import Results, in_turn, result

ROWS, EPOCHS, BATCH = 192, 5, 16
KEPT_GOAL = 0.65
SESSIONS, OF_A_SESSION, LABELS = 50, 30, 3
GROWTH_GOAL = 1.25


def measure() -> Results:
    """Against two full passes in every step; and the last of 50 sessions against the first ones."""
    torch.set_num_threads(2)
    backbone = Backbone.load()
    return [_kept(backbone), *_growth(backbone)]


def _kept(backbone: Backbone) -> dict[str, object]:
    method = CodaPrompt(head="sessions")
    examples = sentences(backbone, ROWS)

    def session(keep: bool) -> None:
        learner = learner_of(backbone, method, ("negative", "positive"), None, 0)
        if keep:
            learner.remember([examples])
        for _ in train(learner, [examples], Plan(EPOCHS, BATCH, 0), Progress(learner.optimizer())):
            pass

    kept, anew = in_turn(lambda: session(True), lambda: session(False), turns=5)
    what = f"{ROWS} rows, {EPOCHS} epochs: {kept:.1f} s with queries and lower states kept, {anew:.1f} s without"
    return result("query cache against two passes per step", kept / anew, KEPT_GOAL, what, at_most=True)


def _growth(backbone: Backbone) -> Iterator[dict[str, object]]:
    examples, lines = sentences(backbone, SESSIONS * OF_A_SESSION), list[Line]()
    for head in ("incremental-ridge", "sessions"):
        method = CodaPrompt(head=head, components=4)
        seconds, learned = [], None
        for number in range(SESSIONS):
            began = time.perf_counter()
            learned = method.learn(backbone, learned, _session(examples, number), Plan(1, BATCH, number), _nothing)
            seconds.append(time.perf_counter() - began)
        lines.append(Line(head, seconds, range(1, SESSIONS + 1)))
        picture = draw("sessions", "Seconds of a session, by its number", lines, axis="seconds", over="session")
        early, late = median(seconds[1:11]), median(seconds[-10:])
        what = f"{OF_A_SESSION} rows, {_size(learned)} labels at the end: {late:.2f} s against {early:.2f} s; {picture}"
        yield result(f"sessions 41 to 50 against 2 to 11, {head}", late / early, GROWTH_GOAL, what, at_most=True)


def _session(examples: list[Example], number: int) -> Session:
    own = examples[number * OF_A_SESSION : (number + 1) * OF_A_SESSION]
    labels = tuple(f"label {number} {index}" for index in range(LABELS))
    return Session(labels, [replace(one, label=place % LABELS) for place, one in enumerate(own)])


def _size(learned: Learned | None) -> int:
    return len(learned.labels) if learned else 0


def _nothing(step: Step) -> None:
    del step
