"""Training rows per second, against peft on the same rows: the same batches, and a whole epoch with our own order."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from methods import Backbone, Learner, Plan, Progress, Task, collate, method, train
from methods.rows.encoding import Example

from ._peers import peft_classifier
from ._sentences import TASK, sentences
from ._turns import Results, in_turn, result

LENGTH, BATCH = 16, 16
STEPS = 12  # batches of a turn
ROWS = 480  # rows of an epoch


def measure() -> Results:
    """Two threads, as in a run with one worker."""
    torch.set_num_threads(2)
    backbone = Backbone.load()
    examples = sentences(backbone, ROWS)
    return [
        _same_batches(backbone, examples, "prefix-tuning", "prefix", 1.2),
        _same_batches(backbone, examples, "mpt", "multitask", 1.8),
        _epoch(backbone, examples, "prefix-tuning", "prefix", 2.0),
    ]


def _same_batches(
    backbone: Backbone, examples: list[Example], ours: str, theirs: str, goal: float
) -> dict[str, object]:
    tasks, owners = (2, [index % 2 for index in range(ROWS)]) if ours == "mpt" else (1, [0] * ROWS)
    learner = new_learner(backbone, ours, tasks)
    optimizer = learner.optimizer()
    batches = list(shuffled(examples, owners))[:STEPS]

    def step_ours() -> None:
        for batch in batches:
            optimizer.zero_grad(set_to_none=False)
            for losses in learner.losses(batch):
                (losses.total.sum() / len(batch)).backward()
            optimizer.step()

    step_theirs = peft_steps(backbone, peft_classifier(theirs, LENGTH, tasks=tasks), batches)
    return _line(
        f"training, {ours}", goal, in_turn(step_ours, step_theirs), STEPS * BATCH, f"peft's {theirs}, same batches"
    )


def _epoch(backbone: Backbone, examples: list[Example], ours: str, theirs: str, goal: float) -> dict[str, object]:
    """Ours in batches of similar length (`batches`), theirs in random order, as any loader gives them."""
    batches = list(shuffled(examples, [0] * ROWS))
    epoch = epoch_of(new_learner(backbone, ours, 1), examples)
    seconds = in_turn(epoch, peft_steps(backbone, peft_classifier(theirs, LENGTH), batches), turns=5)
    return _line(f"epoch, {ours}", goal, seconds, ROWS, f"peft's {theirs} in random order")


def _line(name: str, goal: float, seconds: Sequence[float], rows: int, peer: str) -> dict[str, object]:
    ours, theirs = seconds
    return result(name, theirs / ours, goal, f"{rows / ours:.0f} rows/s, {peer} {rows / theirs:.0f} rows/s")


def new_learner(backbone: Backbone, name: str, tasks: int, **settings: object) -> Learner:
    """Fresh prompts of the benchmarks' length."""
    several = [Task(f"t{k}", TASK.kind, TASK.labels) for k in range(tasks)]
    return Learner.new(backbone, method(name, {"length": LENGTH, **settings}), several, 0)


def epoch_of(learner: Learner, examples: list[Example]) -> Any:
    """One epoch of our own training loop."""
    progress = Progress(learner.optimizer())

    def run() -> None:
        progress.done = 0
        for _ in train(learner, [examples], Plan(1, BATCH, 0), progress):
            pass

    return run


def shuffled(examples: list[Example], owners: Sequence[int]) -> Iterator[list[tuple[int, Example]]]:
    """Batches in random order, each row with its task."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(1)).tolist()
    for first in range(0, len(order), BATCH):
        yield [(owners[index], examples[index]) for index in order[first : first + BATCH]]


def peft_steps(backbone: Backbone, model: Any, batches: Sequence[Sequence[tuple[int, Example]]]) -> Any:
    """Forward, backward and AdamW over given batches."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    multitask = hasattr(model.peft_config["0"], "num_tasks")

    def run() -> None:
        for rows in batches:
            batch = collate(backbone, [example for _, example in rows])
            more = {"task_ids": torch.tensor([task for task, _ in rows])} if multitask else {}
            optimizer.zero_grad()
            model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.label, **more
            ).loss.backward()
            optimizer.step()

    return run
