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
        return [self._examples(k) for k in range(len(self._tasks))]

    def judged(self, k: int, split: str) -> tuple[list[methods.Row], list[list[methods.Example]]]:
        """Rows of task k and their examples; `held-out` is the test split, or validation where there is none."""
        name: Split = "validation" if split == "validation" else self._job.tasks[k].held_out
        if (k, name) not in self._judged:
            rows = list(self._rows(k, name))[self._rank :: self._world]
            self._judged[k, name] = rows, [self._encode(k, row) for row in rows]
        return self._judged[k, name]

    def _examples(self, k: int) -> list[methods.Example]:
        """The training examples of task k; windows of a long context without the answer teach nothing."""
        task, spec = self._tasks[k], self._job.spec
        rows = few(task.kind, self._rows(k, "train"), spec.shots, spec.seed)
        windows = [one for row in rows for one in self._encode(k, row)]
        return [window for window in windows if task.kind != "span-qa" or window.start >= 0]

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
