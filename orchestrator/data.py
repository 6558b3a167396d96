"""The rows of a run inside one worker: read from their source, encoded once, kept in memory only."""

from collections.abc import Sequence
from functools import cached_property

import methods

from .errors import RunFailed
from .job import Job
from .shots import few
from .sources import read
from .specs import Split


class Data:
    """Training examples of every task, and the share of judged rows that falls to this worker."""

    def __init__(
        self,
        job: Job,
        backbone: methods.Backbone,
        tasks: Sequence[methods.Task],
        rank: int,
        world: int,
        start: methods.Form = None,
    ) -> None:
        self._job, self._backbone, self._tasks = job, backbone, tasks
        self._start = start  # a prompt that takes positions goes on taking them
        self._rank, self._world = rank, world
        self._judged: dict[tuple[int, Split], tuple[list[methods.Row], list[list[methods.Example]]]] = {}

    @cached_property
    def train(self) -> list[list[methods.Example]]:
        """The training examples of every task: those of all its rows, or of those that a few-shot run draws."""
        return [[one for row in rows for one in row] for rows in self.train_rows]

    @cached_property
    def train_rows(self) -> list[list[list[methods.Example]]]:
        """The same, kept apart by the row that they are of."""
        return [self._examples(k) for k in range(len(self._tasks))]

    def examples(self, k: int) -> list[methods.Example]:
        """The training examples of one task."""
        return [one for row in self._examples(k) for one in row]

    def judged(self, k: int, split: str) -> tuple[list[methods.Row], list[list[methods.Example]]]:
        """Rows of task k and their examples; `held-out` is the test split, or validation where there is none."""
        name: Split = "validation" if split == "validation" else self._job.tasks[k].held_out
        if (k, name) not in self._judged:
            rows = list(self._rows(k, name))[self._rank :: self._world]
            self._judged[k, name] = rows, [self._encode(k, row) for row in rows]
        return self._judged[k, name]

    def _examples(self, k: int) -> list[list[methods.Example]]:
        """The training examples of each row of task k."""
        task, spec = self._tasks[k], self._job.spec
        rows = few(task.kind, self._rows(k, "train"), spec.shots, spec.seed)
        return [teaching(task, self._encode(k, row)) for row in rows]

    def _encode(self, k: int, row: methods.Row) -> list[methods.Example]:
        return methods.encode(self._backbone, self._tasks[k], row, self._start)

    def _rows(self, k: int, split: Split) -> Sequence[methods.Row]:
        one = self._job.tasks[k]
        source = read(one.task, split, one.labels)
        if source.sha256 != one.digests[split]:
            raise RunFailed(
                f"the {split} file of task {one.task.name!r} changed since the run began",
                hint="start a new run: promptctl train",
            )
        return source.rows


def teaching(task: methods.Task, examples: Sequence[methods.Example]) -> list[methods.Example]:
    """Those that teach something: of a long context's windows the ones with the answer."""
    return [example for example in examples if task.kind != "span-qa" or example.start >= 0]
