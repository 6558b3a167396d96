"""A comparison's numbers in MLflow: a run for the whole, one below it per cell, the table and the plot with them.

What is there already is found by its tags, so a resumed comparison adds only what is new.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import events
from ..settings import Settings
from ..tracking import POLL_S, Tracker, experiment_id
from .specs import Comparison

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "promptctl-comparisons"
COMPARISON, CELL, PARENT = "promptctl.comparison", "promptctl.cell", "mlflow.parentRunId"
KEPT = ("table.json", "comparison.svg", "comparison.png")
MANY = 10_000  # runs in one search


class CellTracker(Tracker):
    """Mirrors the file of finished cells."""

    def __init__(self, comparison: Comparison, file: Path, settings: Settings, say: Callable[[str], None]) -> None:
        super().__init__(settings, file, comparison.job, "", say)
        self._comparison = comparison

    def _follow(self, client: "MlflowClient") -> None:
        experiment = experiment_id(client, EXPERIMENT, self._settings)
        known = client.search_runs([experiment], f"tags.`{COMPARISON}` = '{self._comparison.id}'", max_results=MANY)
        self.run_id = next((run.info.run_id for run in known if PARENT not in run.data.tags), "")
        if self.run_id:
            client.update_run(self.run_id, "RUNNING")
        else:
            self.run_id = self._begin(client, experiment)
        mirrored = {run.data.tags.get(CELL) for run in known}
        tail, over = events.Tail(self._file), False
        while not over:
            over = self._over.wait(POLL_S)
            for line in tail.new():
                if _tag(line) not in mirrored:
                    self._mirror_cell(client, experiment, line)
        for name in KEPT:
            if (self._file.parent / name).is_file():
                client.log_artifact(self.run_id, str(self._file.parent / name))
        client.set_terminated(self.run_id, self._status)

    def _begin(self, client: "MlflowClient", experiment: str) -> str:
        from mlflow.entities import Param

        spec = self._comparison.spec
        run = client.create_run(experiment, run_name=self._comparison.id, tags={COMPARISON: self._comparison.id})
        values = {"tasks": ",".join(spec.tasks), "methods": ",".join(spec.methods), "seeds": spec.seeds}
        values |= {"rows": spec.rows, "test_rows": spec.test_rows, "backbone": self._comparison.job.backbone}
        client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in values.items()])
        return run.info.run_id

    def _mirror_cell(self, client: "MlflowClient", experiment: str, line: events.Event) -> None:
        from mlflow.entities import Metric, Param

        tags = {COMPARISON: self._comparison.id, CELL: _tag(line), PARENT: self.run_id}
        at = int(line["at"] * 1000)
        run = client.create_run(experiment, start_time=at, run_name=line["cell"], tags=tags)
        spec = self._comparison.spec
        values: dict[str, Any] = {"method": line["method"], "tasks": ",".join(line["tasks"]), "seed": line["seed"]}
        values |= {"epochs": spec.epochs, "batch_size": spec.batch_size, "rows": spec.rows} | line["setting"]
        found = [
            Metric(f"{task}/{result['metric'] if key == 'value' else key}", result[key], at, 0)
            for task, result in line.get("results", {}).items()
            for key in ("value", "parameters", "bytes", "seconds")
        ]
        params = [Param(key, str(value)) for key, value in values.items()]
        client.log_batch(run.info.run_id, metrics=found, params=params)
        client.set_terminated(run.info.run_id, "FINISHED" if found else "FAILED", end_time=at)


def _tag(line: events.Event) -> str:
    """Which line of the file it is: a failed cell that is tried again has two."""
    return f"{line['cell']} at {line['at']}"
